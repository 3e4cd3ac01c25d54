// SPDX-License-Identifier: Apache-2.0
// Moved while asleep until an absolute time: a handler ends the sleep with EINTR and leaves the rest untouched; going
// back to sleep ends at the time first set. A user would see a cron job late.
#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t handled = 0;
}

int main() {
  on_signal(
      SIGUSR1, +[](int) { handled = handled + 1; }, SA_RESTART);
  on_signal(SIGUSR2, SIG_IGN);
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI}) {
    handled = 0;
    timespec until, now, left = {77, 77};
    CHECK_EQ(clock_gettime(clock, &until), 0);
    until.tv_sec += 1000;
    pid_t parent = getpid();
    pid_t helper = after_go([&] {
      kill(parent, SIGUSR2);  // ignored: nobody wakes
      usleep(10'000);
      kill(parent, SIGUSR1);
    });
    announce("blocked");
    CHECK_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &until, &left), EINTR);
    CHECK_EQ(handled, 1);
    CHECK(left.tv_sec == 77 && left.tv_nsec == 77);
    EXPECT_END(helper, 0);
    CHECK_EQ(clock_gettime(clock, &now), 0);
    now.tv_sec -= 1;
    CHECK_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &now, nullptr), 0);  // past: at once
  }
  timespec bad = {0, 1'000'000'000};
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, nullptr), EINVAL);
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &bad, nullptr), EINVAL);
  CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &bad, nullptr), EINVAL);
  CHECK_EQ(clock_nanosleep(77, 0, &bad, nullptr), EINVAL);
  return 0;
}
