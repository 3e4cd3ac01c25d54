// SPDX-License-Identifier: Apache-2.0
// Asking the clocks for their resolution, the kernel for its discipline, and being refused to change any of it as an
// ordinary user. A user would see ntpd or date answer for the wrong machine.
#include <sys/time.h>
#include <sys/timex.h>

#include "tests/programs/program.h"

int main() {
  pid_t pid = child([] {
    if (geteuid() == 0) CHECK_EQ(setresuid(65534, 65534, 65534), 0);
    timex before = {}, after = {};
    int state = adjtimex(&before);
    CHECK(state >= 0);
    for (int round = 0; round < 2; round++) {
      ready_and_wait();
      CHECK_EQ(adjtimex(&after), state);
      CHECK_EQ(after.tick, before.tick);
      CHECK_EQ(after.tolerance, before.tolerance);
      CHECK(labs(after.time.tv_sec - time(nullptr)) <= 1);
      timespec now, resolution;
      CHECK_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
      CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &now), EPERM);
      CHECK_ERRNO(clock_settime(CLOCK_MONOTONIC, &now), EINVAL);
      timeval day = {now.tv_sec, 0};
      CHECK_ERRNO(settimeofday(&day, nullptr), EPERM);
      timex change = {};
      change.modes = ADJ_TICK;
      change.tick = before.tick;
      CHECK_ERRNO(adjtimex(&change), EPERM);
      for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_MONOTONIC_RAW}) {
        CHECK_EQ(clock_getres(clock, &resolution), 0);
        CHECK(resolution.tv_sec == 0 && resolution.tv_nsec == 1);
      }
      CHECK_EQ(clock_getres(CLOCK_REALTIME_COARSE, &resolution), 0);
      CHECK(resolution.tv_nsec >= 1'000'000);
      CHECK_ERRNO(clock_getres(77, &resolution), EINVAL);
      CHECK_ERRNO(clock_gettime(77, &resolution), EINVAL);
      timespec tai;
      CHECK_EQ(clock_gettime(CLOCK_TAI, &tai), 0);
      CHECK_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
      CHECK(labs(tai.tv_sec - now.tv_sec - after.tai) <= 1);
    }
    return 70;
  });
  EXPECT_END(pid, 70);
  return 0;
}
