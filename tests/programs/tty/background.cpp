// SPDX-License-Identifier: Apache-2.0
// A background job, moved, that reads or writes (under TOSTOP) its terminal while it ignores or blocks the signal for
// that: reads end with EIO, writes and settings go through. A user would see jobs stop for nothing.
#include "tests/programs/terminal.h"

namespace {
int job(const Pty& pty) {
  CHECK_EQ(setpgid(0, 0), 0);
  sigset_t both, none;
  sigemptyset(&both);
  sigaddset(&both, SIGTTIN);
  sigaddset(&both, SIGTTOU);
  for (int round = 0; round < 2; round++) {
    on_signal(SIGTTIN, round == 0 ? SIG_IGN : SIG_DFL);  // ignored, then blocked
    on_signal(SIGTTOU, round == 0 ? SIG_IGN : SIG_DFL);
    CHECK_EQ(sigprocmask(round == 0 ? SIG_UNBLOCK : SIG_BLOCK, &both, nullptr), 0);
    ready_and_wait();
    CHECK(tcgetpgrp(pty.slave) != getpid());
    char byte;
    CHECK_ERRNO(read(pty.slave, &byte, 1), EIO);
    write_all(pty.slave, "shown", 5);
    expect_bytes(pty.master, "shown");
    change_settings(pty.slave, [](termios&) {});
    CHECK_EQ(sigpending(&none), 0);
    CHECK_EQ(sigismember(&none, SIGTTIN), 0);
    CHECK_EQ(sigismember(&none, SIGTTOU), 0);
  }
  ready_and_wait();
  CHECK_EQ(tcsetpgrp(pty.slave, getpid()), 0);  // with SIGTTOU blocked it may take the terminal
  type(pty, "line\n");
  expect_line(pty.slave, "line\n");
  return 70;
}
}  // namespace

int main() {
  Pty pty = open_pty();
  change_settings(pty.slave, [](termios& settings) {
    clear(settings.c_lflag, ECHO);
    settings.c_lflag |= TOSTOP;
  });
  pid_t leader = session_on(pty, [&] {
    EXPECT_END(child([&] { return job(pty); }), 70);
    return 71;
  });
  EXPECT_END(leader, 71);
  return 0;
}
