// SPDX-License-Identifier: Apache-2.0
// SIGCHLD: stopped and continued children, SA_NOCLDSTOP, SA_NOCLDWAIT and ignoring it, which reaps by itself.
#include "tests/programs/program.h"

namespace {
siginfo_t last;
volatile sig_atomic_t hits = 0;
void take(int, siginfo_t* info, void*) {
  last = *info;
  hits = hits + 1;
}
void wait_for(int count) {
  double deadline = seconds() + 10;
  while (hits < count && seconds() < deadline) usleep(1000);
  CHECK_EQ(hits, count);
}
}  // namespace

int main() {
  on_signal(SIGCHLD, take);
  ready_and_wait();
  pid_t pid = child([] {
    pause();
    return 0;
  });
  CHECK_EQ(kill(pid, SIGSTOP), 0);
  wait_for(1);
  CHECK(last.si_code == CLD_STOPPED && last.si_pid == pid && last.si_status == SIGSTOP);
  CHECK_EQ(kill(pid, SIGCONT), 0);
  wait_for(2);
  CHECK(last.si_code == CLD_CONTINUED && last.si_pid == pid && last.si_status == SIGCONT);
  on_signal(SIGCHLD, take, SA_NOCLDSTOP);
  CHECK_EQ(kill(pid, SIGSTOP), 0);
  int status;
  CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
  CHECK_EQ(hits, 2);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  wait_for(3);
  CHECK(last.si_code == CLD_KILLED && last.si_status == SIGKILL);
  EXPECT_END(pid, -SIGKILL);
  signal(SIGCHLD, SIG_IGN);
  ready_and_wait();
  child([] { return 1; });
  CHECK_ERRNO(wait(nullptr), ECHILD);  // waits until the child is gone, and finds nothing
  on_signal(SIGCHLD, take, SA_NOCLDWAIT);
  hits = 0;
  pid = child([] { return 1; });
  wait_for(1);
  CHECK_EQ(last.si_pid, pid);
  CHECK_ERRNO(waitpid(pid, &status, 0), ECHILD);
  return 0;
}
