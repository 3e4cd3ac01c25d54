// SPDX-License-Identifier: Apache-2.0
// A timer that starts a function in a thread (SIGEV_THREAD), which glibc makes of a signal to one of its threads: the
// program stays at home with it, and each expiration is there. A user would see a backup job not run.
#include "tests/programs/program.h"

namespace {
std::atomic<int> calls{0}, wrong{0};
void tick(sigval value) {
  if (value.sival_int != 4711) wrong++;
  calls++;
}
}  // namespace

int main() {
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = tick;
  event.sigev_value.sival_int = 4711;
  timer_t timer;
  CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  itimerspec spec = {{0, 20'000'000}, {0, 20'000'000}};
  CHECK_EQ(timer_settime(timer, 0, &spec, nullptr), 0);
  ready_and_wait();
  int now = calls;
  for (double end = seconds() + 20; calls < now + 5 && seconds() < end;) usleep(1000);
  CHECK(calls >= now + 5);
  CHECK_EQ(wrong.load(), 0);
  CHECK_EQ(timer_delete(timer), 0);
  return 0;
}
