// SPDX-License-Identifier: Apache-2.0
// CPU time used while away counts: times(), getrusage and the CPU clocks of the process never go back, and grow with
// work; a child's usage is seen by its parent.
#include <sys/resource.h>
#include <sys/times.h>

#include "tests/programs/program.h"

namespace {
double of(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; }
double used() {
  rusage usage;
  CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  return of(usage.ru_utime) + of(usage.ru_stime);
}
// Burns CPU until the wall clock has moved on, and until the CPU clock (which a loaded machine slows) has as well.
void burn(double cpu_s) {
  double start = seconds(CLOCK_PROCESS_CPUTIME_ID), deadline = seconds() + 20;
  while (seconds(CLOCK_PROCESS_CPUTIME_ID) < start + cpu_s)
    if (seconds() > deadline) FAIL("the CPU clock stands still");
}
}  // namespace

int main() {
  double clock = 0, usage = 0;
  clock_t ticks = 0;
  for (int round = 0; round < 3; round++) {
    burn(0.15);
    double now = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (now < clock + 0.14) FAIL("the CPU clock went from %.3f to %.3f over 0.15 s of work", clock, now);
    clock = now;
    now = used();
    if (now < usage + 0.1) FAIL("getrusage went from %.3f to %.3f over 0.15 s of work", usage, now);
    usage = now;
    tms times_now;
    CHECK(times(&times_now) != -1);
    CHECK(times_now.tms_utime + times_now.tms_stime >= ticks + 8);
    ticks = times_now.tms_utime + times_now.tms_stime;
    CHECK(seconds(CLOCK_THREAD_CPUTIME_ID) > 0.1 * (round + 1));
    if (round < 2) ready_and_wait();
  }
  EXPECT_END(child([] {
               burn(0.15);
               return 0;
             }),
             0);
  rusage children;
  CHECK_EQ(getrusage(RUSAGE_CHILDREN, &children), 0);
  CHECK(of(children.ru_utime) + of(children.ru_stime) > 0.1);
  return 0;
}
