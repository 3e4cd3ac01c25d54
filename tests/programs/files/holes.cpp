// SPDX-License-Identifier: Apache-2.0
// Holes: SEEK_DATA and SEEK_HOLE find them, punching frees them. A user would see a copy of a disk image that is larger
// than the image, or has other bytes.
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  constexpr off_t kPiece = 1 << 20;
  static char bytes[kPiece];
  memset(bytes, 'd', sizeof bytes);
  int fd = open("image", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(pwrite(fd, bytes, kPiece, kPiece), kPiece);
    CHECK_EQ(ftruncate(fd, 4 * kPiece), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_DATA), kPiece);
    ready_and_wait();
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), kPiece);
    CHECK_EQ(lseek(fd, kPiece, SEEK_HOLE), 2 * kPiece);
    CHECK_ERRNO(lseek(fd, 2 * kPiece, SEEK_DATA), ENXIO);
    CHECK_ERRNO(lseek(fd, 4 * kPiece, SEEK_HOLE), ENXIO);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2 * kPiece);  // what failed did not move it
    struct stat before, after;
    CHECK_EQ(fstat(fd, &before), 0);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kPiece, kPiece / 2), 0);
    CHECK_EQ(fstat(fd, &after), 0);
    CHECK_EQ(after.st_size, 4 * kPiece);
    CHECK_EQ(before.st_blocks - after.st_blocks, kPiece / 2 / 512);
    CHECK_EQ(lseek(fd, 0, SEEK_DATA), kPiece + kPiece / 2);
    char two[2] = {'x', 'x'};
    CHECK_EQ(pread(fd, two, 2, kPiece + kPiece / 2 - 1), 2);
    CHECK(two[0] == 0 && two[1] == 'd');
    CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 4 * kPiece, kPiece), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 4 * kPiece);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
    CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
  }
  CHECK_EQ(unlink("image"), 0);
  return 0;
}
