// SPDX-License-Identifier: Apache-2.0
// alarm and setitimer tell what was left of the one before, rounded as Linux does, after moves. A user would see a
// shell script's time-out become longer.
#include <sys/syscall.h>
#include <sys/time.h>

#include "tests/programs/program.h"

int main() {
  double start = seconds();
  CHECK_EQ(alarm(1000), 0);
  ready_and_wait();
  unsigned left = alarm(500);
  double used = seconds() - start;
  if (left + used < 999 || left + used > 1002) FAIL("%u s left of 1000 after %.1f s", left, used);
  itimerval one = {{0, 0}, {0, 400'000}}, old = {};
  CHECK_EQ(setitimer(ITIMER_REAL, &one, &old), 0);
  CHECK(old.it_value.tv_sec >= 490 && old.it_value.tv_sec <= 500 && old.it_interval.tv_sec == 0);
  CHECK_EQ(alarm(100), 1);  // 0.4 s left are told as 1
  CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
  CHECK(old.it_value.tv_sec == 99 || (old.it_value.tv_sec == 100 && old.it_value.tv_usec == 0));
  ready_and_wait();
  unsigned rest = alarm(0);
  CHECK(rest >= 95 && rest <= 100);
  CHECK_EQ(alarm(0), 0);
  one.it_value.tv_usec = 1'000'000;
  CHECK_ERRNO(setitimer(ITIMER_REAL, &one, nullptr), EINVAL);
  CHECK_ERRNO(syscall(SYS_getitimer, 99, &old), EINVAL);
  CHECK_EQ(ualarm(900'000, 0), 0);
  useconds_t last = ualarm(0, 0);
  CHECK(last > 0 && last <= 900'000);
  return 0;
}
