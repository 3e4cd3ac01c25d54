// SPDX-License-Identifier: Apache-2.0
// Moved while a raw terminal's read waits for VMIN characters. A user would see an
// escape sequence (an arrow key, a paste) torn apart.
#include "tests/programs/terminal.h"

int main() {
  Pty pty = open_pty();
  change_settings(pty.slave, [](termios& settings) {
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = 6;
    settings.c_cc[VTIME] = 0;
  });
  char text[20] = {};
  pid_t typist = after_go([&] { type(pty, "abcdefg"); });
  announce("blocked");
  ssize_t got = read(pty.slave, text, 6);
  CHECK_EQ(got, 6);
  CHECK(strcmp(text, "abcdef") == 0);
  EXPECT_END(typist, 0);
  expect_waiting(pty.slave, 1);
  change_settings(pty.slave, [](termios& settings) { settings.c_cc[VMIN] = 1; });
  CHECK_EQ(read(pty.slave, text, 20), 1);
  CHECK_EQ(text[0], 'g');
  typist = after_go([&] { type(pty, "x"); });
  announce("blocked");
  CHECK_EQ(read(pty.slave, text, 20), 1);
  CHECK_EQ(text[0], 'x');
  EXPECT_END(typist, 0);
  change_settings(pty.slave, [](termios& settings) { settings.c_cc[VMIN] = 0; });
  CHECK_EQ(read(pty.slave, text, 20), 0);  // neither a minimum nor a time: asks only
  return 0;
}
