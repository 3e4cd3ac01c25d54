// SPDX-License-Identifier: Apache-2.0
// A master in packet mode hears of flushes, of stopped output and of data, each packet with its kind. A user would see
// rlogin, screen or expect lose track of ^C and ^S.
#include "tests/programs/terminal.h"

int main() {
  Pty pty = open_pty();
  int yes = 1, no = 0, now = 0;
  CHECK_EQ(ioctl(pty.master, TIOCPKT, &yes), 0);
  change_settings(pty.slave, [](termios& settings) { clear(settings.c_lflag, ECHO); });
  auto expect = [&](const char* what, char kind, const char* text) {
    char packet[100] = {};
    ssize_t got = read(pty.master, packet, sizeof packet - 1);
    if (got != 1 + static_cast<ssize_t>(strlen(text)) || packet[0] != kind || strcmp(packet + 1, text) != 0)
      FAIL("%s: a packet of %zd bytes, kind %d, text \"%s\"", what, got, packet[0], packet + 1);
  };
  auto priority = [&] {
    pollfd polled = {pty.master, POLLPRI, 0};
    return poll(&polled, 1, 0) == 1 && polled.revents & POLLPRI;
  };
  for (int round = 0; round < 2; round++) {
    write_all(pty.slave, "data\n", 5);
    CHECK_EQ(tcflow(pty.slave, TCOOFF), 0);
    ready_and_wait();
    CHECK_EQ(ioctl(pty.master, TIOCGPKT, &now), 0);
    CHECK_EQ(now, 1);
    CHECK(priority());
    expect("stopped", TIOCPKT_STOP, "");
    CHECK(!priority());
    expect("data", TIOCPKT_DATA, "data\r\n");
    CHECK_EQ(tcflow(pty.slave, TCOON), 0);
    expect("started", TIOCPKT_START, "");
    type(pty, "forgotten\n");
    expect_waiting(pty.slave, 10);
    CHECK_EQ(tcflush(pty.slave, TCIFLUSH), 0);
    expect("flushed", TIOCPKT_FLUSHREAD, "");
    change_settings(pty.slave, [](termios& settings) { clear(settings.c_iflag, IXON); });
    expect("^S means nothing", TIOCPKT_NOSTOP, "");
    change_settings(pty.slave, [](termios& settings) { settings.c_iflag |= IXON; });
    expect("^S means stop", TIOCPKT_DOSTOP, "");
  }
  CHECK_EQ(ioctl(pty.master, TIOCPKT, &no), 0);
  write_all(pty.slave, "plain", 5);
  expect_bytes(pty.master, "plain");
  return 0;
}
