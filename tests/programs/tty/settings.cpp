// SPDX-License-Identifier: Apache-2.0
// Every flag, character and speed of a terminal's settings, set before a move and read after it, and the other way
// round. A user would see a garbled screen or keys that do nothing after a full-screen program moved.
#include "tests/programs/terminal.h"

namespace {
void expect_same(const termios& got, const termios& want) {
  CHECK_EQ(got.c_iflag, want.c_iflag);
  CHECK_EQ(got.c_oflag, want.c_oflag);
  CHECK_EQ(got.c_cflag, want.c_cflag);
  CHECK_EQ(got.c_lflag, want.c_lflag);
  CHECK_EQ(got.c_line, want.c_line);
  for (int i = 0; i < 17; i++) CHECK_EQ(got.c_cc[i], want.c_cc[i]);
  CHECK_EQ(cfgetispeed(&got), cfgetispeed(&want));
  CHECK_EQ(cfgetospeed(&got), cfgetospeed(&want));
}
}  // namespace

int main() {
  Pty pty = open_pty();
  termios start, wanted, got;
  CHECK_EQ(tcgetattr(pty.slave, &start), 0);
  const int actions[3] = {TCSANOW, TCSADRAIN, TCSAFLUSH};
  for (unsigned round = 0; round < 3; round++) {
    wanted = start;
    wanted.c_iflag = round == 0 ? IGNBRK | INLCR | IXANY : round == 1 ? BRKINT | ICRNL | IUTF8 : IXON | ISTRIP;
    wanted.c_oflag = round == 0 ? OPOST | ONLCR | TAB3 : round == 1 ? OCRNL : OPOST | ONLRET;
    wanted.c_lflag = round == 0 ? ISIG | ECHOCTL | IEXTEN : round == 1 ? ICANON | NOFLSH : ECHO | ECHOE | TOSTOP;
    for (unsigned i = 0; i < 17; i++) wanted.c_cc[i] = static_cast<cc_t>(1 + i + 40 * round);
    CHECK_EQ(cfsetspeed(&wanted, round == 0 ? B9600 : round == 1 ? B38400 : B115200), 0);
    CHECK_EQ(tcsetattr(pty.slave, actions[round], &wanted), 0);
    ready_and_wait();
    CHECK_EQ(tcgetattr(pty.slave, &got), 0);
    expect_same(got, wanted);
    CHECK_EQ(tcgetattr(pty.master, &got), 0);  // the same through the other end
    expect_same(got, wanted);
    wanted.c_cc[VINTR] = 0x1c;
    CHECK_EQ(tcsetattr(pty.master, TCSANOW, &wanted), 0);
    CHECK_EQ(tcgetattr(pty.slave, &got), 0);
    expect_same(got, wanted);
  }
  CHECK_ERRNO(tcsetattr(pty.slave, 77, &wanted), EINVAL);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  CHECK_ERRNO(tcgetattr(ends[0], &got), ENOTTY);
  CHECK_ERRNO(tcsetattr(ends[0], TCSANOW, &wanted), ENOTTY);
  return 0;
}
