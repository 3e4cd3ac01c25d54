// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in waitpid: a handler with SA_RESTART (SIGCHLD of other children among them) does not end it, one
// without does, with EINTR, and the child can still be waited for. A shell waits like that.
#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t restarting = 0, ending = 0;

pid_t sleeper(int (&pipe_ends)[2], int code) {
  return child([&pipe_ends, code] {
    char byte;
    read_all(pipe_ends[0], &byte, 1);
    return code;
  });
}
}  // namespace

int main() {
  on_signal(
      SIGUSR1, +[](int) { restarting = restarting + 1; }, SA_RESTART);
  on_signal(
      SIGUSR2, +[](int) { ending = ending + 1; });
  on_signal(
      SIGCHLD, +[](int) { restarting = restarting + 1; }, SA_RESTART);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  const pid_t self = getpid(), wanted = sleeper(ends, 31);
  const pid_t helper = after_go([self] {
    kill(self, SIGUSR1);
    usleep(30'000);
    kill(self, SIGUSR2);
    usleep(30'000);  // and then its own end: SIGCHLD
  });
  int status = 0;
  announce("blocked");
  CHECK_ERRNO(waitpid(wanted, &status, 0), EINTR);
  CHECK_EQ(restarting, 1);
  CHECK_EQ(ending, 1);
  EXPECT_END(helper, 0);
  const pid_t second = after_go([&] {
    write_all(ends[1], "x", 1);
    usleep(50'000);  // its own end comes second
  });
  announce("blocked");
  CHECK_EQ(waitpid(wanted, &status, 0), wanted);
  CHECK_EQ(WEXITSTATUS(status), 31);
  EXPECT_END(second, 0);
  CHECK_EQ(restarting, 4);
  CHECK_ERRNO(waitpid(-1, &status, 0), ECHILD);
  return 0;
}
