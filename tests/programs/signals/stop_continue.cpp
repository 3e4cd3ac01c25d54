// SPDX-License-Identifier: Apache-2.0
// Stopped and continued from outside while away: it does not run while stopped, and its parent is told both times.
#include "tests/programs/program.h"

namespace {
int ticks[2], moved[2];
volatile sig_atomic_t continued = 0;

// Does the pipe get anything within the time? Everything that is in it is taken.
bool ticking(int within_ms) {
  double deadline = seconds() + within_ms / 1000.0;
  char bytes[4096];
  bool any = false;
  while (seconds() < deadline) {
    if (read(ticks[0], bytes, sizeof bytes) > 0) any = true;
    usleep(5000);
  }
  return any;
}
}  // namespace

int main() {
  CHECK_EQ(pipe2(ticks, O_NONBLOCK), 0);
  CHECK_EQ(pipe(moved), 0);
  pid_t pid = child([] {
    CHECK_EQ(setpgid(0, 0), 0);  // SIGTSTP does nothing to an orphaned group, which the harness' children are
    on_signal(
        SIGCONT, +[](int) { continued = continued + 1; });
    Go go;
    while (!go.done()) {
      (void)!write(ticks[1], "t", 1);
      usleep(2000);
    }
    (void)!write(moved[1], "m", 1);
    // Goes on without end: the parent stops and ends it.
    while (continued < 2) {
      (void)!write(ticks[1], "t", 1);
      usleep(2000);
    }
    return 80;
  });
  char byte;
  read_all(moved[0], &byte, 1);
  for (int round = 0; round < 2; round++) {
    CHECK(ticking(200));
    CHECK_EQ(kill(pid, round ? SIGTSTP : SIGSTOP), 0);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), round ? SIGTSTP : SIGSTOP);
    ticking(100);  // what was on its way when it stopped
    CHECK(!ticking(200));
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    if (round == 0) CHECK(WIFCONTINUED(status));
    if (round == 1 && !WIFCONTINUED(status)) {
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 80);
      return 0;
    }
  }
  EXPECT_END(pid, 80);
  return 0;
}
