// SPDX-License-Identifier: Apache-2.0
// mkfs, fdisk and blockdev read a disk's size and sectors by ioctl, and discard or zero parts of it. The disk is a file
// behind a loop device; who may not make one asks a plain file and a character device instead, which are no disks.
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "tests/programs/program.h"

namespace {

constexpr long kBytes = 1 << 20;

// A disk of kBytes that goes away with its last descriptor, or -1.
int make_disk(int file) {
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return -1;
  for (int attempt = 0; attempt < 8; attempt++) {
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) break;
    char path[64];
    snprintf(path, sizeof path, "/dev/loop%d", number);
    int disk = open(path, O_RDWR | O_CLOEXEC);
    if (disk < 0) break;
    loop_config config = {};
    config.fd = static_cast<unsigned>(file);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (ioctl(disk, LOOP_CONFIGURE, &config) == 0) {
      close(control);
      return disk;
    }
    close(disk);
    if (errno != EBUSY) break;  // another run took it: the next
  }
  close(control);
  return -1;
}

void ask_disk(int disk) {
  unsigned long long bytes = 0;
  CHECK_EQ(ioctl(disk, BLKGETSIZE64, &bytes), 0);
  CHECK_EQ(bytes, kBytes);
  unsigned long sectors = 0;
  CHECK_EQ(ioctl(disk, BLKGETSIZE, &sectors), 0);
  CHECK_EQ(sectors, kBytes / 512);
  int sector = 0, block = 0, read_only = -1;
  unsigned physical = 0, least = 0;
  CHECK_EQ(ioctl(disk, BLKSSZGET, &sector), 0);
  CHECK_EQ(sector, 512);
  CHECK_EQ(ioctl(disk, BLKBSZGET, &block), 0);
  CHECK(block >= 512);
  CHECK_EQ(ioctl(disk, BLKPBSZGET, &physical), 0);
  CHECK_EQ(ioctl(disk, BLKIOMIN, &least), 0);
  CHECK(physical >= 512 && least >= 512);
  CHECK_EQ(ioctl(disk, BLKROGET, &read_only), 0);
  CHECK_EQ(read_only, 0);
  struct {
    unsigned short turns, beyond;
  } rotating = {7, 0x5a5a};
  CHECK_EQ(ioctl(disk, BLKROTATIONAL, &rotating), 0);
  CHECK(rotating.turns <= 1 && rotating.beyond == 0x5a5a);
  CHECK_EQ(ioctl(disk, BLKFLSBUF, 0), 0);

  char sent[512], got[512];
  memset(sent, 'd', sizeof sent);
  CHECK_EQ(pwrite(disk, sent, sizeof sent, 8192), 512);
  CHECK_EQ(fsync(disk), 0);
  unsigned long long range[2] = {8192, 4096};
  CHECK_EQ(ioctl(disk, BLKZEROOUT, range), 0);
  CHECK_EQ(pread(disk, got, sizeof got, 8192), 512);
  for (char c : got) CHECK_EQ(c, 0);
  range[0] = 1;  // not on a sector
  CHECK_ERRNO(ioctl(disk, BLKZEROOUT, range), EINVAL);
}

void ask_no_disk(int fd) {
  unsigned long long bytes = 0;
  int number = 0;
  CHECK_ERRNO(ioctl(fd, BLKGETSIZE64, &bytes), ENOTTY);
  CHECK_ERRNO(ioctl(fd, BLKSSZGET, &number), ENOTTY);
  CHECK_ERRNO(ioctl(fd, BLKROGET, &number), ENOTTY);
  CHECK_ERRNO(ioctl(fd, BLKFLSBUF, 0), ENOTTY);
  CHECK_EQ(bytes, 0);
}

}  // namespace

int main() {
  int file = open("disk", O_RDWR | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_RDWR);
  CHECK(file >= 0 && null >= 0);
  CHECK_EQ(ftruncate(file, kBytes), 0);
  int disk = make_disk(file);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    if (disk >= 0) ask_disk(disk);
    ask_no_disk(file);
    ask_no_disk(null);
  }
  CHECK_EQ(unlink("disk"), 0);
  return 0;
}
