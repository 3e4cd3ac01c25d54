// SPDX-License-Identifier: Apache-2.0
// Lines are edited by the terminal until they are ended: erase, kill, word erase, quoting, end of file, lines longer
// than the reader's buffer, also when the first half was typed before a move. A user would see what they had corrected.
#include "tests/programs/terminal.h"

int main() {
  Pty pty = open_pty();
  change_settings(pty.slave, [](termios& settings) {
    clear(settings.c_lflag, ECHO);
    settings.c_cc[VEOL] = '#';
  });
  type(pty, "wrong\x7f\x7f\x7f\x7f\x7fri");
  ready_and_wait();
  CHECK_EQ(waiting_bytes(pty.slave), 0);  // no line yet
  type(pty, "ght\n");
  expect_waiting(pty.slave, 6);
  expect_line(pty.slave, "right\n");
  type(pty, "all of this\x15line\n");  // kill
  expect_line(pty.slave, "line\n");
  type(pty, "two words\x17things\n");  // word erase
  expect_line(pty.slave, "two things\n");
  type(pty,
       "a\x16\x03"
       "b\x16\x7f\n");  // quoted ^C and erase
  expect_line(pty.slave,
              "a\x03"
              "b\x7f\n");
  type(pty, "one#two\nthree\n");
  expect_line(pty.slave, "one#");
  char text[4] = {};
  CHECK_EQ(read(pty.slave, text, 2), 2);  // a line in pieces
  CHECK(strcmp(text, "tw") == 0);
  ready_and_wait();
  expect_line(pty.slave, "o\n");
  expect_line(pty.slave, "three\n");
  type(pty, "half\x04");  // end of file behind text: the text without a newline
  expect_line(pty.slave, "half");
  type(pty, "\x04");
  CHECK_EQ(read(pty.slave, text, 1), 0);
  type(pty, "on\n");  // and it goes on
  expect_line(pty.slave, "on\n");
  CHECK_EQ(fcntl(pty.slave, F_SETFL, O_NONBLOCK), 0);
  type(pty, "no line");
  CHECK_ERRNO(read(pty.slave, text, 1), EAGAIN);
  return 0;
}
