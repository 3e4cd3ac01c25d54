// SPDX-License-Identifier: Apache-2.0
// alarm, setitimer in its three kinds and timer_create: set before the moves, fired after or during them, in time.
#include <sys/time.h>

#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t alarms = 0, virtuals = 0, profs = 0, posix = 0;

void wait_until(volatile sig_atomic_t& count, int want, bool busy) {
  double deadline = seconds() + 15;
  while (count < want) {
    if (seconds() > deadline) FAIL("only %d of %d signals came", count, want);
    if (!busy) usleep(1000);
  }
}
}  // namespace

int main() {
  on_signal(
      SIGALRM, +[](int) { alarms = alarms + 1; });
  on_signal(
      SIGVTALRM, +[](int) { virtuals = virtuals + 1; });
  on_signal(
      SIGPROF, +[](int) { profs = profs + 1; });
  on_signal(
      SIGRTMIN, +[](int) { posix = posix + 1; });
  double start = seconds();
  CHECK_EQ(alarm(2), 0);
  itimerval fast = {{0, 20'000}, {0, 20'000}};
  CHECK_EQ(setitimer(ITIMER_VIRTUAL, &fast, nullptr), 0);
  CHECK_EQ(setitimer(ITIMER_PROF, &fast, nullptr), 0);
  timer_t timer;
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN;
  CHECK_EQ(timer_create(CLOCK_REALTIME, &event, &timer), 0);
  itimerspec spec = {{0, 50'000'000}, {0, 50'000'000}};
  CHECK_EQ(timer_settime(timer, 0, &spec, nullptr), 0);
  announce("idle", 1, 1800);
  wait_until(alarms, 1, false);
  double took = seconds() - start;
  if (took < 1.99 || took > 3.5) FAIL("the alarm of 2 s came after %.3f s", took);
  CHECK(posix >= 10);
  wait_until(virtuals, 5, true);
  wait_until(profs, 5, true);
  CHECK_EQ(timer_gettime(timer, &spec), 0);
  CHECK_EQ(spec.it_interval.tv_nsec, 50'000'000);
  CHECK_EQ(timer_delete(timer), 0);
  itimerval old = {}, off = {};
  CHECK_EQ(setitimer(ITIMER_PROF, &off, &old), 0);
  CHECK_EQ(old.it_interval.tv_usec, 20'000);
  CHECK_EQ(setitimer(ITIMER_VIRTUAL, &off, nullptr), 0);
  CHECK_EQ(alarm(100), 0);
  unsigned left = alarm(0);
  CHECK(left == 100 || left == 99);
  wait_for_go();
  fast = {{0, 0}, {0, 30'000}};
  CHECK_EQ(setitimer(ITIMER_REAL, &fast, nullptr), 0);
  wait_until(alarms, 2, false);
  return 0;
}
