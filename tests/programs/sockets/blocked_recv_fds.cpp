// SPDX-License-Identifier: Apache-2.0
// Moved while recvmsg waits for a message with descriptors, of a peer that is moved as well and opened them where it
// is. A user would see a privileged helper hand over nothing, or twice.
#include "tests/programs/network.h"

int main() {
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  for (int round = 0; round < 2; round++) {
    pid_t helper = child([&] {
      close(pair[0]);
      ready_and_wait(2);
      int ends[2];
      CHECK_EQ(pipe(ends), 0);
      int file = open("shared", O_RDWR | O_CREAT | O_TRUNC, 0600);
      write_all(file, "a file", 6);
      CHECK_EQ(lseek(file, 2, SEEK_SET), 2);
      const int fds[2] = {file, ends[0]};
      CHECK_EQ(send_descriptors(pair[1], "two", fds, 2), 3);
      close(file);
      close(ends[0]);
      write_all(ends[1], "a pipe", 6);
      return 0;
    });
    announce("blocked", 2);
    int got[2], flags;
    CHECK_EQ(receive_descriptors(pair[0], "two", got, 2, &flags, MSG_CMSG_CLOEXEC), 2);
    CHECK_EQ(flags & MSG_CTRUNC, 0);
    char text[10] = {};
    CHECK_EQ(read(got[0], text, sizeof text), 4);  // the offset is shared
    CHECK(strcmp(text, "file") == 0);
    read_all(got[1], text, 6);
    CHECK(memcmp(text, "a pipe", 6) == 0);
    CHECK_EQ(read(got[1], text, 1), 0);
    wait_for_go();
    EXPECT_END(helper, 0);
    close(got[0]);
    close(got[1]);
    char byte;
    CHECK_ERRNO(recv(pair[0], &byte, 1, MSG_DONTWAIT), EAGAIN);
  }
  return 0;
}
