// SPDX-License-Identifier: Apache-2.0
// A pseudo-terminal: settings, window size, line editing, and a read of its slave side that is moved while blocked.
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "tests/programs/program.h"

int main() {
  int master, slave;
  winsize size = {50, 132, 0, 0};
  char name[100];
  CHECK_EQ(openpty(&master, &slave, name, nullptr, &size), 0);
  termios settings;
  CHECK_EQ(tcgetattr(slave, &settings), 0);
  settings.c_lflag &= static_cast<tcflag_t>(~ECHO);
  CHECK_EQ(tcsetattr(slave, TCSANOW, &settings), 0);
  pid_t typist = after_go([&] { write_all(master, "wrogn\x7f\x7fng line\n", 15); });
  announce("blocked");
  char text[100] = {};
  CHECK_EQ(read(slave, text, sizeof text), 11);
  CHECK(strcmp(text, "wrong line\n") == 0);
  EXPECT_END(typist, 0);
  ready_and_wait();
  termios now;
  CHECK_EQ(tcgetattr(slave, &now), 0);
  CHECK(!(now.c_lflag & ECHO) && (now.c_lflag & ICANON));
  winsize got = {};
  CHECK_EQ(ioctl(slave, TIOCGWINSZ, &got), 0);
  CHECK(got.ws_row == 50 && got.ws_col == 132);
  CHECK_EQ(isatty(slave), 1);
  CHECK(strcmp(ttyname(slave), name) == 0);
  cfmakeraw(&now);
  CHECK_EQ(tcsetattr(slave, TCSADRAIN, &now), 0);
  write_all(slave, "raw\n", 4);
  memset(text, 0, sizeof text);
  read_all(master, text, 4);
  CHECK(strcmp(text, "raw\n") == 0);
  close(slave);
  CHECK_ERRNO(read(master, text, 1), EIO);
  return 0;
}
