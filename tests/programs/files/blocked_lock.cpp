// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in F_SETLKW: the lock comes when its owner lets go.
#include "tests/programs/program.h"

int main() {
  int fd = open("locked", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t owner = child([&] {
    CHECK_EQ(fcntl(fd, F_SETLKW, &lock), 0);
    write_all(ends[1], "l", 1);
    wait_for_go();
    CHECK_EQ(pwrite(fd, "done", 4, 0), 4);
    return 0;  // the lock ends with the process
  });
  char text[4] = {};
  read_all(ends[0], text, 1);
  announce("blocked");
  CHECK_EQ(fcntl(fd, F_SETLKW, &lock), 0);
  CHECK_EQ(pread(fd, text, 4, 0), 4);
  CHECK(memcmp(text, "done", 4) == 0);
  EXPECT_END(owner, 0);
  CHECK_EQ(unlink("locked"), 0);
  return 0;
}
