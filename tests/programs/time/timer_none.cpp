// SPDX-License-Identifier: Apache-2.0
// A timer that only counts down (SIGEV_NONE), started before moves and read after them, one set to an absolute time,
// and a second one to tell them apart. A user would see a stop watch jump.
#include "tests/programs/program.h"

namespace {
double left(timer_t timer) {
  itimerspec spec;
  CHECK_EQ(timer_gettime(timer, &spec), 0);
  return static_cast<double>(spec.it_value.tv_sec) + static_cast<double>(spec.it_value.tv_nsec) / 1e9;
}
}  // namespace

int main() {
  sigevent event = {};
  event.sigev_notify = SIGEV_NONE;
  timer_t relative, absolute;
  CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &relative), 0);
  CHECK_EQ(timer_create(CLOCK_BOOTTIME, &event, &absolute), 0);
  CHECK(relative != absolute);
  CHECK(left(relative) == 0);
  double start = seconds();
  itimerspec spec = {{0, 0}, {100, 0}};
  CHECK_EQ(timer_settime(relative, 0, &spec, nullptr), 0);
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  spec.it_value = {now.tv_sec + 200, now.tv_nsec};
  CHECK_EQ(timer_settime(absolute, TIMER_ABSTIME, &spec, nullptr), 0);
  double last = 100;
  {
    Go go;
    while (!go.done()) {
      double before = seconds() - start, is = left(relative), after = seconds() - start;
      if (is > last + 1e-9 || is > 100 - before + 0.01 || is < 100 - after - 0.01)
        FAIL("%.6f s left between %.6f and %.6f s", is, before, after);
      last = is;
    }
  }
  double difference = left(absolute) - left(relative);
  if (difference < 99.9 || difference > 100.1) FAIL("the timers are %.3f s apart", difference);
  CHECK_EQ(timer_getoverrun(relative), 0);
  spec = {{0, 0}, {0, 1}};
  CHECK_EQ(timer_settime(relative, 0, &spec, nullptr), 0);
  usleep(1000);
  CHECK(left(relative) == 0);  // over
  event.sigev_notify = 77;
  CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &relative), EINVAL);
  spec.it_value.tv_nsec = 1'000'000'000;
  CHECK_ERRNO(timer_settime(absolute, 0, &spec, nullptr), EINVAL);
  return 0;
}
