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
double children_used() {
  rusage usage;
  CHECK_EQ(getrusage(RUSAGE_CHILDREN, &usage), 0);
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
  const double before = children_used();
  CHECK(before > 0.1 && before < 10);
  // Wherever the child has run, and wherever we are now: it stays counted, once.
  ready_and_wait();
  const double after = children_used();
  if (after < before || after > before + 0.1) FAIL("the children's CPU time went from %.3f to %.3f", before, after);
  tms sums;
  CHECK(times(&sums) != -1);
  CHECK(sums.tms_cutime + sums.tms_cstime >= 10);
  // One that is not waited for does not count yet; its own figure comes with its end.
  const pid_t other = fork();
  if (other == 0) {
    burn(0.15);
    _exit(0);
  }
  siginfo_t info;
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(other), &info, WEXITED | WNOWAIT), 0);
  CHECK(children_used() < before + 0.1);
  ready_and_wait();
  CHECK(children_used() < before + 0.1);
  int status;
  rusage others;
  CHECK_EQ(wait4(other, &status, 0, &others), other);
  CHECK(of(others.ru_utime) + of(others.ru_stime) > 0.1);
  CHECK(children_used() > before + 0.1);
  return 0;
}
