// SPDX-License-Identifier: Apache-2.0
// What a terminal shows of what is typed and printed: echo, control characters, erased characters, newlines, tabs. A
// user would see passwords, or not see what they type.
#include "tests/programs/terminal.h"

int main() {
  Pty pty = open_pty();
  ready_and_wait();
  type(pty, "ab\x7f\x01\r");
  expect_bytes(pty.master, "ab\b \b^A\r\n");
  expect_line(pty.slave, "a\x01\n");
  write_all(pty.slave, "one\ntwo\tthree\n", 14);
  expect_bytes(pty.master, "one\r\ntwo\tthree\r\n");
  change_settings(pty.slave, [](termios& settings) { clear(settings.c_lflag, ECHO); });
  ready_and_wait();
  type(pty, "secret\n");
  expect_line(pty.slave, "secret\n");
  change_settings(pty.slave, [](termios& settings) { settings.c_lflag |= ECHONL; });
  type(pty, "secret\n");
  expect_line(pty.slave, "secret\n");
  expect_bytes(pty.master, "\r\n");  // only the newline was shown
  change_settings(pty.slave, [](termios& settings) {
    settings.c_lflag |= ECHO;
    settings.c_oflag |= TAB3 | OLCUC;
    settings.c_iflag |= IUCLC;
  });
  type(pty, "MiX\n");
  expect_line(pty.slave, "mix\n");
  expect_bytes(pty.master, "MIX\r\n");
  write_all(pty.slave, "a\tb", 3);
  expect_bytes(pty.master, "A       B");
  change_settings(pty.slave, [](termios& settings) { cfmakeraw(&settings); });
  ready_and_wait();
  type(pty, "\x03\r\x7f");
  expect_line(pty.slave, "\x03\r\x7f");
  write_all(pty.slave, "a\n", 2);
  expect_bytes(pty.master, "a\n");
  return 0;
}
