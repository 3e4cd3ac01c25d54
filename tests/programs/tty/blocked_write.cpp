// SPDX-License-Identifier: Apache-2.0
// Moved while a write waits on a terminal whose output was stopped by ^S, part of it shown already: after ^Q everything
// is shown once. A user would see lines doubled or missing in the output.
#include "tests/programs/terminal.h"

namespace {
constexpr size_t kSize = 100'000;
char data[kSize + 1], got[kSize + 1];
}  // namespace

int main() {
  Pty pty = open_pty();
  change_settings(pty.slave, [](termios& settings) {
    clear(settings.c_lflag, ECHO);
    clear(settings.c_oflag, OPOST);
  });
  for (size_t i = 0; i < kSize; i++) data[i] = static_cast<char>('a' + (i / 97) % 26);
  write_all(pty.slave, "before", 6);
  expect_bytes(pty.master, "before");
  type(pty, "\x13");
  pollfd polled = {pty.slave, POLLOUT, 0};
  double end = seconds() + 20;
  while (poll(&polled, 1, 0) == 1 && seconds() < end) usleep(200);  // until ^S has arrived
  CHECK_EQ(fcntl(pty.slave, F_SETFL, O_NONBLOCK), 0);
  CHECK_ERRNO(write(pty.slave, "x", 1), EAGAIN);
  CHECK_EQ(fcntl(pty.slave, F_SETFL, 0), 0);
  pid_t screen = after_go([&] {
    type(pty, "\x11");
    read_all(pty.master, got, kSize);
    CHECK(memcmp(got, data, kSize) == 0);
    expect_bytes(pty.master, "behind");
  });
  announce("blocked");
  CHECK_EQ(write(pty.slave, data, kSize), kSize);
  write_all(pty.slave, "behind", 6);
  EXPECT_END(screen, 0);
  screen = after_go([&] {
    read_all(pty.master, got, kSize);
    CHECK(memcmp(got, data, kSize) == 0);
  });
  announce("blocked");  // and the same without ^S: the screen is slow
  CHECK_EQ(write(pty.slave, data, kSize), kSize);
  EXPECT_END(screen, 0);
  return 0;
}
