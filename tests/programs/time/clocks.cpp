// SPDX-License-Identifier: Apache-2.0
// All clocks run on over moves: never back, never a jump, by vdso and by syscall, and they agree with the child's.
#include <sys/syscall.h>
#include <sys/time.h>

#include "tests/programs/program.h"

namespace {
constexpr clockid_t kClocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW,
                                 CLOCK_MONOTONIC_COARSE};

double by_syscall(clockid_t clock) {
  timespec t;
  CHECK_EQ(syscall(SYS_clock_gettime, clock, &t), 0);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}
}  // namespace

int main() {
  double last[5], start[5];
  for (int i = 0; i < 5; i++) start[i] = last[i] = seconds(kClocks[i]);
  double longest = 0;
  {
    Go go;
    while (!go.done())
      for (int i = 0; i < 5; i++) {
        double a = seconds(kClocks[i]), b = by_syscall(kClocks[i]), c = seconds(kClocks[i]);
        if (a < last[i] || b < a - 1e-6 || c < b - 1e-6)
          FAIL("clock %d went back: %.9f, %.9f, %.9f, %.9f", kClocks[i], last[i], a, b, c);
        if (a - last[i] > longest) longest = a - last[i];
        last[i] = c;
      }
  }
  if (longest > 5) FAIL("a clock jumped by %.3f s", longest);
  for (int i = 1; i < 5; i++) {
    double difference = (seconds(kClocks[i]) - start[i]) - (seconds(kClocks[0]) - start[0]);
    if (difference < -0.1 || difference > 0.1) FAIL("clock %d drifted by %.3f s", kClocks[i], difference);
  }
  CHECK(labs(time(nullptr) - static_cast<time_t>(seconds(CLOCK_REALTIME))) <= 1);
  timeval now;
  CHECK_EQ(gettimeofday(&now, nullptr), 0);
  CHECK(labs(now.tv_sec - time(nullptr)) <= 1);
  timespec resolution;
  CHECK_EQ(clock_getres(CLOCK_MONOTONIC, &resolution), 0);
  // A child's clock, at home or away, is the same clock.
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  double before = seconds(), inside = 0;
  EXPECT_END(child([&] {
               double t = seconds();
               write_all(ends[1], &t, sizeof t);
               return 0;
             }),
             0);
  read_all(ends[0], &inside, sizeof inside);
  CHECK(before <= inside && inside <= seconds());
  return 0;
}
