// SPDX-License-Identifier: Apache-2.0
// One open file description shared by dup and fork: one offset, wherever its users are.
#include "tests/programs/program.h"

int main() {
  int fd = open("shared-offset", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  char text[] = "abcdefghijklmnopqrstuvwxyz";
  write_all(fd, text, 26);
  CHECK_EQ(lseek(fd, 2, SEEK_SET), 2);
  int copy = dup(fd);
  char byte;
  CHECK_EQ(read(fd, &byte, 1), 1);
  ready_and_wait();
  CHECK_EQ(lseek(copy, 0, SEEK_CUR), 3);
  EXPECT_END(child([&] {
               CHECK_EQ(read(fd, &byte, 1), 1);
               CHECK_EQ(byte, 'd');
               CHECK_EQ(lseek(fd, 3, SEEK_CUR), 7);
               return 0;
             }),
             0);
  CHECK_EQ(read(copy, &byte, 1), 1);
  CHECK_EQ(byte, 'h');
  CHECK_EQ(pread(fd, &byte, 1, 20), 1);
  CHECK_EQ(byte, 'u');
  CHECK_EQ(pwrite(fd, "U", 1, 20), 1);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8);
  ready_and_wait();
  CHECK_EQ(lseek(fd, -6, SEEK_END), 20);
  CHECK_EQ(read(copy, &byte, 1), 1);
  CHECK_EQ(byte, 'U');
  CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
  CHECK_EQ(lseek(fd, 1 << 20, SEEK_DATA) == -1 && errno == ENXIO, 1);
  CHECK_EQ(unlink("shared-offset"), 0);
  return 0;
}
