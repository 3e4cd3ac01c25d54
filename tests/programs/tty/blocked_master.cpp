// SPDX-License-Identifier: Apache-2.0
// Moved while it reads and polls a terminal's master, until the last user of the slave is gone: what was printed comes
// first, then EIO. A user would see expect or a terminal window lose the last lines, or never close.
#include "tests/programs/terminal.h"

int main() {
  for (int way = 0; way < 2; way++) {
    Pty pty = open_pty();
    pid_t printer = after_go([&] {
      close(pty.master);
      write_all(pty.slave, "out\n", 4);
    });
    pollfd polled = {pty.master, POLLIN, 0};
    announce("blocked");
    if (way == 1) {
      CHECK_EQ(poll(&polled, 1, -1), 1);
      CHECK_EQ(polled.revents & POLLIN, POLLIN);
    }
    char text[10] = {};
    read_all(pty.master, text, 5);
    CHECK(strcmp(text, "out\r\n") == 0);
    EXPECT_END(printer, 0);
    printer = after_go([&] {
      close(pty.master);
      write_all(pty.slave, "last\n", 5);
    });
    close(pty.slave);
    announce("blocked");
    if (way == 1) CHECK_EQ(poll(&polled, 1, -1), 1);
    read_all(pty.master, text, 6);
    CHECK(memcmp(text, "last\r\n", 6) == 0);
    CHECK_ERRNO(read(pty.master, text, 1), EIO);
    CHECK_EQ(poll(&polled, 1, -1), 1);
    CHECK_EQ(polled.revents & POLLHUP, POLLHUP);
    EXPECT_END(printer, 0);
    int again = open(pty.name, O_RDWR | O_NOCTTY);  // it can be opened anew
    CHECK(again >= 0);
    write_all(again, "new", 3);
    expect_bytes(pty.master, "new");
    close(again);
    close(pty.master);
  }
  return 0;
}
