// SPDX-License-Identifier: Apache-2.0
// Moved while a raw terminal's read waits under VTIME, with VMIN 0: it gives up at its time with 0. A user would see a
// terminal program that waits for ever for an answer that does not come, or that does not wait for it.
#include "tests/programs/terminal.h"

int main() {
  Pty pty = open_pty();
  change_settings(pty.slave, [](termios& settings) {
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = 0;
    settings.c_cc[VTIME] = 20;
  });
  char text[8] = {};
  announce("blocked", 1, 1900);
  double start = seconds();
  CHECK_EQ(read(pty.slave, text, sizeof text), 0);
  double took = seconds() - start;
  if (took < 1.9 || took > 3.0) FAIL("VTIME of 2 s took %.3f s", took);
  wait_for_go();
  pid_t typist = child([&] {
    type(pty, "x");
    return 0;
  });
  start = seconds();
  CHECK_EQ(read(pty.slave, text, sizeof text), 1);  // ends with the first character, not with the time
  CHECK_EQ(text[0], 'x');
  EXPECT_END(typist, 0);
  change_settings(pty.slave, [](termios& settings) {
    settings.c_cc[VMIN] = 5;
    settings.c_cc[VTIME] = 2;  // between characters
  });
  type(pty, "ab");
  start = seconds();
  CHECK_EQ(read(pty.slave, text, sizeof text), 2);
  took = seconds() - start;
  if (took < 0.15 || took > 1.7) FAIL("VTIME of 0.2 s between characters took %.3f s", took);
  return 0;
}
