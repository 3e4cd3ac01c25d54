// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in flock: a user would see two instances of a program that may only run once, or one that waits
// for ever although the other has ended.
#include <sys/file.h>

#include "tests/programs/program.h"

int main() {
  int fd = open("instance", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t first = child([&] {
    int own = open("instance", O_RDWR);
    CHECK_EQ(flock(own, LOCK_EX), 0);
    write_all(ends[1], "l", 1);
    if (!getenv("OMIG_TEST_FIFOS")) usleep(200'000);
    wait_for_go();
    CHECK_EQ(pwrite(own, "first", 5, 0), 5);
    CHECK_EQ(flock(own, LOCK_UN), 0);
    return 0;
  });
  char text[5];
  read_all(ends[0], text, 1);
  CHECK_ERRNO(flock(fd, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  announce("blocked");
  CHECK_EQ(flock(fd, LOCK_EX), 0);
  CHECK_EQ(pread(fd, text, 5, 0), 5);
  CHECK(memcmp(text, "first", 5) == 0);
  int other = open("instance", O_RDWR);
  CHECK_ERRNO(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  EXPECT_END(first, 0);
  CHECK_EQ(unlink("instance"), 0);
  return 0;
}
