// SPDX-License-Identifier: Apache-2.0
// A background job, moved, that writes to its terminal under TOSTOP, changes its settings, or reads it: it is stopped,
// and goes on with the call once it is in the foreground. A user would see jobs scribble over the one they look at.
#include "tests/programs/terminal.h"

namespace {
int job(const Pty& pty, int way) {
  CHECK_EQ(setpgid(0, 0), 0);
  ready_and_wait();
  if (way == 0) write_all(pty.slave, "job\n", 4);
  if (way == 1) change_settings(pty.slave, [](termios& settings) { settings.c_cc[VINTR] = 7; });
  if (way == 2) expect_line(pty.slave, "typed\n");
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
    signal(SIGTTOU, SIG_IGN);
    for (int way = 0; way < 3; way++) {
      CHECK_EQ(tcsetpgrp(pty.slave, getpgrp()), 0);
      pid_t pid = child([&] {
        signal(SIGTTOU, SIG_DFL);
        return job(pty, way);
      });
      int status;
      CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
      if (!WIFSTOPPED(status)) FAIL("way %d: status %x", way, static_cast<unsigned>(status));
      CHECK_EQ(WSTOPSIG(status), way == 2 ? SIGTTIN : SIGTTOU);
      CHECK_EQ(waiting_bytes(pty.master), 0);
      CHECK_EQ(tcsetpgrp(pty.slave, pid), 0);
      CHECK_EQ(killpg(pid, SIGCONT), 0);
      if (way == 2) type(pty, "typed\n");
      EXPECT_END(pid, 70);
      if (way == 0) expect_bytes(pty.master, "job\r\n");
    }
    termios settings;
    CHECK_EQ(tcgetattr(pty.slave, &settings), 0);
    CHECK_EQ(settings.c_cc[VINTR], 7);
    return 71;
  });
  EXPECT_END(leader, 71);
  return 0;
}
