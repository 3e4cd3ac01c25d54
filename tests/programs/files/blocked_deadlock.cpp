// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in F_SETLKW: the kernel goes on knowing who waits for whom, so the process that would close the
// circle is told EDEADLK. A user would see both hang for ever.
#include "tests/programs/program.h"

namespace {
int lock(int fd, int command, short type, off_t byte) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_start = byte;
  lock.l_len = 1;
  return fcntl(fd, command, &lock);
}
}  // namespace

int main() {
  int fd = open("accounts", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 1), 0);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t other = child([&] {
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 2), 0);
    write_all(ends[1], "l", 1);
    if (!getenv("OMIG_TEST_FIFOS")) usleep(200'000);
    wait_for_go();
    CHECK_ERRNO(lock(fd, F_SETLKW, F_WRLCK, 1), EDEADLK);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 2), 0);
    CHECK_EQ(lock(fd, F_SETLKW, F_WRLCK, 1), 0);
    return 0;
  });
  char byte;
  read_all(ends[0], &byte, 1);
  announce("blocked");
  CHECK_EQ(lock(fd, F_SETLKW, F_WRLCK, 2), 0);
  CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 1), 0);
  EXPECT_END(other, 0);
  CHECK_EQ(unlink("accounts"), 0);
  return 0;
}
