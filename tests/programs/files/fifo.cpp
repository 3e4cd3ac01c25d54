// SPDX-License-Identifier: Apache-2.0
// A FIFO: moved while blocked in its open, then read to the end of file.
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  CHECK_EQ(mkfifo("queue", 0600), 0);
  pid_t writer = after_go([] {
    int fd = open("queue", O_WRONLY);
    CHECK(fd >= 0);
    write_all(fd, "through the queue", 17);
  });
  announce("blocked");
  int fd = open("queue", O_RDONLY);
  CHECK(fd >= 0);
  char text[100] = {};
  read_all(fd, text, 17);
  CHECK(strcmp(text, "through the queue") == 0);
  CHECK_EQ(read(fd, text, 1), 0);
  EXPECT_END(writer, 0);
  close(fd);
  CHECK_ERRNO(open("queue", O_WRONLY | O_NONBLOCK), ENXIO);
  CHECK_EQ(unlink("queue"), 0);
  return 0;
}
