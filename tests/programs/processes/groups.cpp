// SPDX-License-Identifier: Apache-2.0
// Process groups and sessions: numbers kept, signals to a group reach all its members wherever they are.
#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t hits = 0;
}

int main() {
  pid_t group = getpgid(0), session = getsid(0);
  pid_t pids[3], first = 0;
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  for (pid_t& pid : pids) {
    pid = child([&] {
      on_signal(
          SIGUSR1, +[](int) { hits = hits + 1; });
      CHECK_EQ(setpgid(0, first), 0);
      sigset_t usr1, old;
      sigemptyset(&usr1);
      sigaddset(&usr1, SIGUSR1);
      sigprocmask(SIG_BLOCK, &usr1, &old);
      ready_and_wait(4);
      CHECK_EQ(getpgid(0), first ? first : getpid());
      write_all(ends[1], "r", 1);
      while (!hits) sigsuspend(&old);
      return 50;
    });
    setpgid(pid, first ? first : pid);
    if (!first) first = pid;
  }
  ready_and_wait(4);
  CHECK_EQ(getpgid(0), group);
  CHECK_EQ(getsid(0), session);
  CHECK_EQ(getpgid(pids[2]), first);
  CHECK_EQ(getsid(pids[1]), session);
  char bytes[3];
  read_all(ends[0], bytes, 3);
  CHECK_EQ(killpg(first, SIGUSR1), 0);
  for (pid_t pid : pids) EXPECT_END(pid, 50);
  CHECK_ERRNO(killpg(first, 0), ESRCH);
  return 0;
}
