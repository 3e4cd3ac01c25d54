// SPDX-License-Identifier: Apache-2.0
// A POSIX timer whose signals are handled, over moves: each carries the timer's own value, and they and the overruns
// they tell of add up to every expiration. A user would see a clock program lose or gain ticks.
#include "tests/programs/program.h"

namespace {
void* const kValue = reinterpret_cast<void*>(0x123456789abcdef0);
std::atomic<long> ticks{0};
}  // namespace

int main() {
  on_signal(
      SIGRTMIN, +[](int number, siginfo_t* info, void*) {
        if (number != SIGRTMIN || info->si_code != SI_TIMER || info->si_value.sival_ptr != kValue)
          FAIL("signal %d, code %d, value %p", number, info->si_code, info->si_value.sival_ptr);
        ticks += 1 + info->si_overrun;
      });
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN;
  event.sigev_value.sival_ptr = kValue;
  timer_t timer;
  CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  double start = seconds();
  itimerspec spec = {{0, 5'000'000}, {0, 5'000'000}}, off = {}, old = {};
  CHECK_EQ(timer_settime(timer, 0, &spec, nullptr), 0);
  long work = 0;
  {
    Go go;
    for (; !go.done(); work++) fill(&off, 0, 1);
  }
  double before = seconds() - start;
  CHECK_EQ(timer_settime(timer, 0, &off, &old), 0);
  double after = seconds() - start;
  CHECK(old.it_interval.tv_nsec == 5'000'000 && old.it_value.tv_sec == 0 && old.it_value.tv_nsec <= 5'000'000);
  long least = static_cast<long>(before * 200) - 1,  // one may be due at this very moment
      most = static_cast<long>(after * 200);
  for (double end = seconds() + 20; ticks < least && seconds() < end;) usleep(1000);
  usleep(20'000);
  if (ticks < least || ticks > most) FAIL("%ld ticks, between %ld and %ld were due", ticks.load(), least, most);
  CHECK_EQ(timer_delete(timer), 0);
  CHECK_ERRNO(timer_delete(timer), EINVAL);
  return 0;
}
