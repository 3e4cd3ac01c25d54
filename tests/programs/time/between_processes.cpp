// SPDX-License-Identifier: Apache-2.0
// Two processes, both moved, to different nodes or the same, send each other the time: no clock is ever behind what the
// other one said before. A user would see make build things again, or logs out of order.
#include <sys/time.h>

#include "tests/programs/program.h"

namespace {
constexpr clockid_t kClocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, CLOCK_TAI};
constexpr int kCount = 6;

void now(timespec (&times)[kCount]) {
  for (int i = 0; i < 5; i++) CHECK_EQ(clock_gettime(kClocks[i], &times[i]), 0);
  timeval day;
  CHECK_EQ(gettimeofday(&day, nullptr), 0);
  times[5] = {day.tv_sec, day.tv_usec * 1000};
}

void expect_later(const timespec (&said)[kCount]) {
  timespec times[kCount];
  now(times);
  for (int i = 0; i < kCount; i++)
    if (times[i].tv_sec < said[i].tv_sec || (times[i].tv_sec == said[i].tv_sec && times[i].tv_nsec < said[i].tv_nsec))
      FAIL("clock %d is at %ld.%09ld, the other said %ld.%09ld before", i, times[i].tv_sec, times[i].tv_nsec,
           said[i].tv_sec, said[i].tv_nsec);
}
}  // namespace

int main() {
  int there[2], back[2];
  CHECK_EQ(pipe(there), 0);
  CHECK_EQ(pipe(back), 0);
  timespec times[kCount];
  pid_t other = child([&] {
    close(there[1]);
    announce("busy", 2);
    ssize_t got;
    while ((got = read(there[0], times, sizeof times)) > 0) {
      CHECK_EQ(got, sizeof times);
      expect_later(times);
      now(times);
      write_all(back[1], times, sizeof times);
    }
    wait_for_go();
    return 0;
  });
  long count = 0;
  {
    Go go(2);
    for (; !go.done(); count++) {
      now(times);
      write_all(there[1], times, sizeof times);
      read_all(back[0], times, sizeof times);
      expect_later(times);
    }
  }
  CHECK(count > 0);
  close(there[1]);
  EXPECT_END(other, 0);
  return 0;
}
