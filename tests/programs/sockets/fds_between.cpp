// SPDX-License-Identifier: Apache-2.0
// Two processes, both moved, to different nodes or the same, pass each other descriptors all the time; what one writes
// into a pipe it was given the other reads. A user would see a privilege-separated program lose its files.
#include "tests/programs/network.h"

int main() {
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
  pid_t other = child([&] {
    close(pair[0]);
    unsigned number = 0;
    announce("busy", 2);
    while (true) {  // writes its number into each pipe that comes
      int fd, flags;
      if (receive_descriptors(pair[1], "pipe", &fd, 1, &flags, 0) == 0) break;
      write_all(fd, &number, sizeof number);
      close(fd);
      number++;
    }
    wait_for_go();
    return 0;
  });
  close(pair[1]);
  unsigned count = 0;
  {
    Go go(2);
    for (; !go.done(); count++) {
      int ends[2];
      CHECK_EQ(pipe(ends), 0);
      CHECK_EQ(send_descriptors(pair[0], "pipe", &ends[1], 1), 4);
      close(ends[1]);
      unsigned number = 0;
      char byte;
      read_all(ends[0], &number, sizeof number);
      CHECK_EQ(number, count);
      CHECK_EQ(read(ends[0], &byte, 1), 0);
      close(ends[0]);
    }
  }
  CHECK(count > 0);
  CHECK_EQ(send(pair[0], "pipe", 4, 0), 4);
  EXPECT_END(other, 0);
  return 0;
}
