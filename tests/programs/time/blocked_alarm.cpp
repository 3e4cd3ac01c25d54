// SPDX-License-Identifier: Apache-2.0
// Moved while it waits in pause for an alarm, and in sigwait for an interval timer: they come in time and as often as
// they should. A user would see ping stop, or a time-out that never ends.
#include <sys/time.h>

#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t alarms = 0;
void expect_waited(double start, double wait, const char* what) {
  double took = seconds() - start;
  if (took < wait - 0.002 || took > wait + 1.5) FAIL("%s of %.3f s came after %.3f s", what, wait, took);
}
}  // namespace

int main() {
  on_signal(
      SIGALRM, +[](int, siginfo_t* info, void*) {
        CHECK(info->si_code == SI_KERNEL);
        alarms = alarms + 1;
      });
  double start = seconds();
  CHECK_EQ(alarm(2), 0);
  announce("blocked", 1, 1900);
  CHECK_ERRNO(pause(), EINTR);
  CHECK_EQ(alarms, 1);
  expect_waited(start, 2, "an alarm");
  wait_for_go();
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGALRM);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &mask, nullptr), 0);
  itimerval interval = {{0, 400'000}, {1, 500'000}}, old;
  start = seconds();
  CHECK_EQ(setitimer(ITIMER_REAL, &interval, nullptr), 0);
  announce("blocked", 1, 1400);
  for (int i = 0; i < 3; i++) {
    int number;
    CHECK_EQ(sigwait(&mask, &number), 0);
    CHECK_EQ(number, SIGALRM);
    expect_waited(start, 1.5 + 0.4 * i, "an interval");
  }
  wait_for_go();
  interval = {};
  CHECK_EQ(setitimer(ITIMER_REAL, &interval, &old), 0);
  CHECK_EQ(old.it_interval.tv_usec, 400'000);
  CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec <= 400'000);
  CHECK_EQ(alarms, 1);
  return 0;
}
