// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in F_OFD_SETLKW: the lock belongs to the open file, not to the process. A user would see threads
// of a database write into each other's pages.
#include "tests/programs/program.h"

namespace {
struct flock range(short type, off_t from, off_t length) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_start = from;
  lock.l_len = length;
  return lock;
}
}  // namespace

int main() {
  int mine = open("pages", O_RDWR | O_CREAT | O_TRUNC, 0600), other = open("pages", O_RDWR);
  CHECK(mine >= 0 && other >= 0);
  struct flock lock = range(F_WRLCK, 100, 50);
  CHECK_EQ(fcntl(other, F_OFD_SETLK, &lock), 0);
  pid_t releaser = after_go([&] {  // it shares the open file, so it may release what its parent has locked
    CHECK_EQ(pwrite(other, "released", 8, 100), 8);
    struct flock nothing = range(F_UNLCK, 0, 0);
    CHECK_EQ(fcntl(other, F_OFD_SETLK, &nothing), 0);
  });
  struct flock wanted = range(F_WRLCK, 140, 20);
  CHECK_ERRNO(fcntl(mine, F_OFD_SETLK, &wanted), EAGAIN);
  announce("blocked");
  CHECK_EQ(fcntl(mine, F_OFD_SETLKW, &wanted), 0);
  char text[8];
  CHECK_EQ(pread(mine, text, 8, 100), 8);
  CHECK(memcmp(text, "released", 8) == 0);
  struct flock asked = range(F_RDLCK, 0, 0);
  CHECK_EQ(fcntl(other, F_OFD_GETLK, &asked), 0);
  CHECK_EQ(asked.l_type, F_WRLCK);
  CHECK_EQ(asked.l_start, 140);
  CHECK_EQ(asked.l_len, 20);
  CHECK_EQ(asked.l_pid, -1);
  EXPECT_END(releaser, 0);
  CHECK_EQ(unlink("pages"), 0);
  return 0;
}
