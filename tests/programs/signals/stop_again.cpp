// SPDX-License-Identifier: Apache-2.0
// Continued and at once stopped again from outside while away: it stands still during the second stop, too. And a
// SIGCONT that comes directly after a stop lets it go on, whatever learned of the stop too late.
#include "tests/programs/program.h"

namespace {
int moved[2];
volatile sig_atomic_t over = 0;

void stop(pid_t pid) {
  int status;
  CHECK_EQ(kill(pid, SIGSTOP), 0);
  CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
  CHECK(WIFSTOPPED(status));
  CHECK_EQ(WSTOPSIG(status), SIGSTOP);
}

void go_on(pid_t pid) {
  int status;
  CHECK_EQ(kill(pid, SIGCONT), 0);
  CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
  CHECK(WIFCONTINUED(status));
}

// How often a computation without system calls stood still for half a second.
int standstills() {
  int count = 0;
  for (double last = seconds(); !over;) {
    const double now = seconds();
    if (now - last > 0.5) count++;
    last = now;
  }
  return count;
}
}  // namespace

int main() {
  CHECK_EQ(pipe(moved), 0);
  pid_t pid = child([] {
    on_signal(
        SIGTERM, +[](int) { over = 1; });
    {
      Go go;
      while (!go.done()) usleep(2000);
    }
    write_all(moved[1], "m", 1);
    return standstills() >= 2 ? 81 : 82;
  });
  char byte;
  read_all(moved[0], &byte, 1);
  for (int round = 0; round < 3; round++) {
    stop(pid);
    usleep(400'000);
    go_on(pid);
    stop(pid);
    usleep(1'500'000);
    go_on(pid);
    usleep(200'000);
  }
  for (int round = 0; round < 20; round++) {
    stop(pid);
    usleep(static_cast<useconds_t>(round * 10'000));
    go_on(pid);
    usleep(static_cast<useconds_t>(round * 1'000));
  }
  CHECK_EQ(kill(pid, SIGTERM), 0);
  EXPECT_END(pid, 81);
  return 0;
}
