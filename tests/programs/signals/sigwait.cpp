// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in sigwaitinfo (and a second thread in sigtimedwait, whose time-out is kept).
#include "tests/programs/program.h"

namespace {
void* wait_in_vain(void*) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  timespec limit = {2, 0};
  double start = seconds();
  CHECK_ERRNO(sigtimedwait(&set, nullptr, &limit), EAGAIN);
  double took = seconds() - start;
  if (took < 2.0 || took > 3.5) FAIL("sigtimedwait of 2 s took %.3f s", took);
  return nullptr;
}
}  // namespace

int main() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  sigaddset(&set, SIGCHLD);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, nullptr), 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, wait_in_vain, nullptr), 0);
  pid_t parent = getpid();
  pid_t helper = after_go([&] {
    sigval value;
    value.sival_int = 5;
    CHECK_EQ(sigqueue(parent, SIGUSR1, value), 0);
  });
  announce("blocked", 1, 1900);
  siginfo_t info;
  sigdelset(&set, SIGUSR2);
  sigdelset(&set, SIGCHLD);
  CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
  CHECK_EQ(info.si_value.sival_int, 5);
  CHECK_EQ(info.si_pid, helper);
  CHECK_EQ(info.si_code, SI_QUEUE);
  sigaddset(&set, SIGCHLD);
  CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
  CHECK_EQ(info.si_pid, helper);
  CHECK_EQ(info.si_code, CLD_EXITED);
  EXPECT_END(helper, 0);
  CHECK_EQ(pthread_join(thread, nullptr), 0);
  return 0;
}
