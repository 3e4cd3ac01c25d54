// SPDX-License-Identifier: Apache-2.0
// What lsattr, filefrag, chattr, cp --reflink and fsfreeze ask of a file by ioctl is answered by the file's own system,
// at home. What it says (or that it has no such request) is printed: every flavour must print what the native run does.
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "tests/programs/program.h"

namespace {

constexpr int kBlock = 4096, kExtents = 8;

void say(const char* what, int result, long value) {
  if (result == 0)
    printf("%s: %ld\n", what, value);
  else
    printf("%s: %s\n", what, strerror(errno));
}

// The extents' places on the disk differ from run to run, their places in the file do not.
void extents(int fd) {
  alignas(fiemap) char room[sizeof(fiemap) + kExtents * sizeof(fiemap_extent)] = {};
  auto* map = reinterpret_cast<fiemap*>(room);
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_flags = FIEMAP_FLAG_SYNC;
  map->fm_extent_count = kExtents;
  int result = ioctl(fd, FS_IOC_FIEMAP, map);
  if (result != 0) return say("extents", result, 0);
  CHECK(map->fm_mapped_extents >= 2 && map->fm_mapped_extents <= kExtents);
  const fiemap_extent& first = map->fm_extents[0];
  const fiemap_extent& last = map->fm_extents[map->fm_mapped_extents - 1];
  CHECK_EQ(first.fe_logical, 0);
  CHECK_EQ(last.fe_logical + last.fe_length, 66 * kBlock);
  CHECK(last.fe_flags & FIEMAP_EXTENT_LAST);
  map->fm_extent_count = 0;  // only count them
  CHECK_EQ(ioctl(fd, FS_IOC_FIEMAP, map), 0);
  printf("extents: %u\n", map->fm_mapped_extents);
}

void ask(int fd) {
  struct statvfs about;
  CHECK_EQ(fstatvfs(fd, &about), 0);
  int block = 0;
  CHECK_EQ(ioctl(fd, FIGETBSZ, &block), 0);
  CHECK_EQ(block, about.f_bsize);
  CHECK_ERRNO(ioctl(fd, FIGETBSZ, 16), EFAULT);
  CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
  int left = 0;
  CHECK_EQ(ioctl(fd, FIONREAD, &left), 0);
  CHECK_EQ(left, 66 * kBlock - 100);
  extents(fd);

  // The kernel writes an int, whatever the request's encoded size (a long) says.
  struct {
    int flags, beyond;
  } attributes = {0, 0x5a5a5a5a};
  int result = ioctl(fd, FS_IOC_GETFLAGS, &attributes);
  const int before = attributes.flags;
  say("flags", result, before);
  CHECK_EQ(attributes.beyond, 0x5a5a5a5a);
  if (result == 0) {
    attributes.flags = before ^ FS_NODUMP_FL;
    result = ioctl(fd, FS_IOC_SETFLAGS, &attributes);
    say("set no dump", result, 0);
    if (result == 0) {
      int now = 0;
      CHECK_EQ(ioctl(fd, FS_IOC_GETFLAGS, &now), 0);
      CHECK_EQ(now, before ^ FS_NODUMP_FL);
      CHECK_EQ(ioctl(fd, FS_IOC_SETFLAGS, &before), 0);
    }
  }
  fsxattr more = {};
  result = ioctl(fd, FS_IOC_FSGETXATTR, &more);
  say("project", result, more.fsx_projid);
  int version = 0;
  result = ioctl(fd, FS_IOC_GETVERSION, &version);
  say("version", result, 0);
  int number = 1;
  result = ioctl(fd, FIBMAP, &number);
  say("block 1 of the file", result, number != 0);

  // A copy that shares blocks, where the file system can.
  int copy = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(copy >= 0);
  file_clone_range range = {.src_fd = fd, .src_offset = 0, .src_length = kBlock, .dest_offset = 0};
  result = ioctl(copy, FICLONERANGE, &range);
  say("share a block", result, 0);
  result = ioctl(copy, FICLONE, fd);
  say("share all", result, 0);
  close(copy);
  CHECK_EQ(unlink("copy"), 0);

  // Requests for other kinds of files.
  unsigned long long bytes = 0;
  CHECK_ERRNO(ioctl(fd, BLKGETSIZE64, &bytes), ENOTTY);
  CHECK_ERRNO(ioctl(fd, BLKSSZGET, &block), ENOTTY);
  CHECK_ERRNO(ioctl(fd, TIOCGPGRP, &block), ENOTTY);
  CHECK_ERRNO(ioctl(fd, BLKFLSBUF, 0), ENOTTY);
  CHECK_ERRNO(ioctl(987'654, FIGETBSZ, &block), EBADF);
}

}  // namespace

int main() {
  int fd = open("data", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  char block[kBlock];
  memset(block, 'b', sizeof block);
  CHECK_EQ(pwrite(fd, block, kBlock, 0), kBlock);
  CHECK_EQ(pwrite(fd, block, kBlock, 65 * kBlock), kBlock);  // a hole between
  CHECK_EQ(fsync(fd), 0);
  ask(fd);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    ask(fd);
  }
  CHECK_EQ(unlink("data"), 0);
  return 0;
}
