// SPDX-License-Identifier: Apache-2.0
// A POSIX timer on the process' CPU time keeps the program at home, where that time is counted, and fires when it is
// used up. A user would see a judge of programming contests let a program run for ever.
#include "tests/programs/program.h"

namespace {
std::atomic<int> fired{0};
}

int main() {
  on_signal(
      SIGRTMIN, +[](int, siginfo_t* info, void*) {
        CHECK(info->si_code == SI_TIMER && info->si_value.sival_int == 12);
        fired++;
      });
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN;
  event.sigev_value.sival_int = 12;
  timer_t timer;
  CHECK_EQ(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer), 0);
  double start = seconds(CLOCK_PROCESS_CPUTIME_ID), from = seconds();
  itimerspec spec = {{0, 0}, {0, 300'000'000}};
  CHECK_EQ(timer_settime(timer, 0, &spec, nullptr), 0);
  ready_and_wait();
  CHECK_EQ(fired.load(), 0);
  CHECK_EQ(timer_gettime(timer, &spec), 0);
  CHECK(spec.it_value.tv_sec == 0 && spec.it_value.tv_nsec > 0);
  unsigned char block[1000];
  while (fired == 0 && seconds() - from < 30) fill(block, sizeof block, 1);
  CHECK_EQ(fired.load(), 1);
  double used = seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
  if (used < 0.299 || used > 1) FAIL("a timer of 0.3 s fired after %.3f s of CPU time", used);
  return 0;
}
