// SPDX-License-Identifier: Apache-2.0
// Moved while it waits in pause on its terminal: a new window size brings SIGWINCH to the foreground group, once, and
// only if the size really changed. A user would see an editor that does not follow its window.
#include "tests/programs/terminal.h"

namespace {
volatile sig_atomic_t changes = 0;
}

int main() {
  Pty pty = open_pty();
  pid_t leader = session_on(pty, [&] {
    on_signal(
        SIGWINCH, +[](int) { changes = changes + 1; });
    winsize size = {};
    CHECK_EQ(ioctl(pty.slave, TIOCGWINSZ, &size), 0);
    CHECK(size.ws_row == 0 && size.ws_col == 0);
    sigset_t winch, old;
    sigemptyset(&winch);
    sigaddset(&winch, SIGWINCH);
    for (int round = 1; round <= 2; round++) {
      CHECK_EQ(sigprocmask(SIG_BLOCK, &winch, &old), 0);
      pid_t window = after_go([&] {
        winsize next = {static_cast<unsigned short>(20 + round), 90, 7, 9};
        CHECK_EQ(ioctl(pty.master, TIOCSWINSZ, &next), 0);
      });
      announce("blocked");
      CHECK_ERRNO(sigsuspend(&old), EINTR);
      CHECK_EQ(changes, round);
      CHECK_EQ(ioctl(pty.slave, TIOCGWINSZ, &size), 0);
      CHECK(size.ws_row == 20 + round && size.ws_col == 90 && size.ws_xpixel == 7 && size.ws_ypixel == 9);
      EXPECT_END(window, 0);
      CHECK_EQ(sigprocmask(SIG_SETMASK, &old, nullptr), 0);
    }
    CHECK_EQ(ioctl(pty.slave, TIOCSWINSZ, &size), 0);  // the same size
    CHECK_EQ(changes, 2);
    size.ws_col = 100;
    CHECK_EQ(ioctl(pty.slave, TIOCSWINSZ, &size), 0);
    double end = seconds() + 20;
    while (changes < 3 && seconds() < end) usleep(1000);
    CHECK_EQ(changes, 3);
    return 0;
  });
  EXPECT_END(leader, 0);
  return 0;
}
