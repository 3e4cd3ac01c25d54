// SPDX-License-Identifier: Apache-2.0
// Moved while it waits in the open of a FIFO for somebody who reads: a user would see `producer > queue` end, or hang
// although the consumer has come.
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  CHECK_EQ(mkfifo("queue", 0600), 0);
  CHECK_ERRNO(open("queue", O_WRONLY | O_NONBLOCK), ENXIO);
  pid_t reader = after_go([] {
    int fd = open("queue", O_RDONLY);
    CHECK(fd >= 0);
    char text[20] = {};
    read_all(fd, text, 8);
    CHECK(strcmp(text, "produced") == 0);
    CHECK_EQ(read(fd, text, 1), 0);
  });
  announce("blocked");
  int fd = open("queue", O_WRONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY);
  write_all(fd, "produced", 8);
  close(fd);
  EXPECT_END(reader, 0);
  CHECK_ERRNO(open("queue", O_WRONLY | O_NONBLOCK), ENXIO);
  CHECK_EQ(unlink("queue"), 0);
  return 0;
}
