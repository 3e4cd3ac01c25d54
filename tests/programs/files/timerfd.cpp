// SPDX-License-Identifier: Apache-2.0
// timerfd: one set before the moves fires in time, intervals are counted, absolute times and disarming work.
#include <sys/timerfd.h>

#include "tests/programs/program.h"

int main() {
  int once = timerfd_create(CLOCK_MONOTONIC, 0), ticking = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  CHECK(once >= 0 && ticking >= 0);
  itimerspec spec = {};
  spec.it_value.tv_sec = 2;
  double start = seconds();
  CHECK_EQ(timerfd_settime(once, 0, &spec, nullptr), 0);
  spec.it_value = {0, 100'000'000};
  spec.it_interval = {0, 100'000'000};
  CHECK_EQ(timerfd_settime(ticking, 0, &spec, nullptr), 0);
  announce("blocked", 1, 1900);
  unsigned long expirations = 0;
  CHECK_EQ(read(once, &expirations, 8), 8);
  double took = seconds() - start;
  CHECK_EQ(expirations, 1);
  if (took < 2.0 || took > 3.5) FAIL("the timer of 2 s took %.3f s", took);
  CHECK_EQ(read(ticking, &expirations, 8), 8);
  double ticks = (seconds() - start) * 10;
  if (static_cast<double>(expirations) > ticks + 0.1 || static_cast<double>(expirations) < 19)
    FAIL("%lu ticks in %.1f tenths", expirations, ticks);
  CHECK_EQ(timerfd_gettime(ticking, &spec), 0);
  CHECK_EQ(spec.it_interval.tv_nsec, 100'000'000);
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  itimerspec absolute = {{0, 0}, now};
  absolute.it_value.tv_nsec += 50'000'000;
  if (absolute.it_value.tv_nsec >= 1'000'000'000)
    absolute.it_value.tv_sec++, absolute.it_value.tv_nsec -= 1'000'000'000;
  CHECK_EQ(timerfd_settime(once, TFD_TIMER_ABSTIME, &absolute, nullptr), 0);
  CHECK_EQ(read(once, &expirations, 8), 8);
  clock_gettime(CLOCK_MONOTONIC, &now);
  CHECK(now.tv_sec > absolute.it_value.tv_sec ||
        (now.tv_sec == absolute.it_value.tv_sec && now.tv_nsec >= absolute.it_value.tv_nsec));
  return 0;
}
