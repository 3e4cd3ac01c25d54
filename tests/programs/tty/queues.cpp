// SPDX-License-Identifier: Apache-2.0
// How much waits in a terminal's queues, and throwing it away: FIONREAD, TIOCOUTQ, tcflush of each, TCSAFLUSH, the end
// that tells poll. A user would see typed-ahead keys answer a question that asked not to be.
#include "tests/programs/terminal.h"

int main() {
  Pty pty = open_pty();
  change_settings(pty.slave, [](termios& settings) { cfmakeraw(&settings); });
  for (int round = 0; round < 2; round++) {
    type(pty, "typed");
    write_all(pty.slave, "shown", 5);
    ready_and_wait();
    expect_waiting(pty.slave, 5);
    expect_waiting(pty.master, 5);
    CHECK_EQ(waiting_bytes(pty.slave, TIOCOUTQ), 0);  // a pty's output goes straight to its other end
    CHECK_EQ(tcflush(pty.slave, TCIFLUSH), 0);
    CHECK_EQ(waiting_bytes(pty.slave), 0);
    expect_bytes(pty.master, "shown");
    type(pty, "typed");
    expect_waiting(pty.slave, 5);
    CHECK_EQ(tcflush(pty.slave, TCOFLUSH), 0);
    CHECK_EQ(waiting_bytes(pty.slave), 5);
    termios settings;
    CHECK_EQ(tcgetattr(pty.slave, &settings), 0);
    CHECK_EQ(tcsetattr(pty.slave, TCSADRAIN, &settings), 0);
    CHECK_EQ(waiting_bytes(pty.slave), 5);
    CHECK_EQ(tcsetattr(pty.slave, TCSAFLUSH, &settings), 0);
    CHECK_EQ(waiting_bytes(pty.slave), 0);
    type(pty, "on");
    expect_waiting(pty.slave, 2);
    CHECK_EQ(tcflush(pty.slave, TCIOFLUSH), 0);
    CHECK_EQ(tcdrain(pty.slave), 0);
    pollfd polled = {pty.slave, POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&polled, 1, 0), 1);
    CHECK_EQ(polled.revents, POLLOUT);
    type(pty, "x");
    CHECK_EQ(poll(&polled, 1, 5000), 1);
    CHECK_EQ(polled.revents, POLLIN | POLLOUT);
    expect_bytes(pty.slave, "x");
    CHECK_ERRNO(tcflush(pty.slave, 99), EINVAL);
    CHECK_EQ(tcsendbreak(pty.slave, 0), 0);
  }
  return 0;
}
