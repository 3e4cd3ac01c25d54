// SPDX-License-Identifier: Apache-2.0
// PR_SET_PDEATHSIG: the child is told when its parent ends while both are moved. A user would see helper processes of
// a browser or a container go on after it has crashed.
#include <sys/prctl.h>

#include "tests/programs/program.h"

namespace {
volatile int told;
}

int main() {
  CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  int ends[2], numbers[2];
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(pipe(numbers), 0);
  pid_t parent = child([&] {
    pid_t helper = child([&] {
      on_signal(SIGUSR1, [](int) { told = told + 1; });
      sigset_t blocked, before;
      sigemptyset(&blocked);
      sigaddset(&blocked, SIGUSR1);
      CHECK_EQ(sigprocmask(SIG_BLOCK, &blocked, &before), 0);
      CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGUSR1), 0);
      ready_and_wait(2);
      int number = 0;
      CHECK_EQ(prctl(PR_GET_PDEATHSIG, &number), 0);
      CHECK_EQ(number, SIGUSR1);
      write_all(ends[1], "a", 1);
      CHECK_ERRNO(sigsuspend(&before), EINTR);
      CHECK_EQ(told, 1);
      return 42;
    });
    ready_and_wait(2);
    write_all(numbers[1], &helper, sizeof helper);
    return pause();
  });
  char letter;
  pid_t helper;
  read_all(ends[0], &letter, 1);
  read_all(numbers[0], &helper, sizeof helper);
  CHECK_EQ(kill(parent, SIGKILL), 0);
  EXPECT_END(parent, -SIGKILL);
  EXPECT_END(helper, 42);
  return 0;
}
