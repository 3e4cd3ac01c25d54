// SPDX-License-Identifier: Apache-2.0
// A child inherits neither alarm nor POSIX timers nor interval timers, a program started by exec keeps the alarm but
// not the POSIX timer. A user would see a command killed by somebody else's time-out, or not by its own.
#include <sys/time.h>

#include "tests/programs/program.h"

int main(int argc, char** argv) {
  sigevent none = {};
  none.sigev_notify = SIGEV_NONE;
  itimerspec spec = {{0, 0}, {500, 0}};
  itimerval interval;
  timer_t timer;
  if (argc > 1) {  // after exec
    ready_and_wait();
    CHECK_EQ(timer_gettime(reinterpret_cast<timer_t>(strtol(argv[1], nullptr, 10)), &spec) == -1 && errno == EINVAL,
             true);
    CHECK_EQ(getitimer(ITIMER_REAL, &interval), 0);
    CHECK(interval.it_value.tv_sec > 300 && interval.it_interval.tv_sec == 7);
    unsigned left = alarm(0);
    CHECK(left > 300 && left <= 400);
    return 0;
  }
  interval = {{7, 0}, {400, 0}};
  CHECK_EQ(timer_create(CLOCK_REALTIME, &none, &timer), 0);
  CHECK_EQ(timer_settime(timer, 0, &spec, nullptr), 0);
  CHECK_EQ(setitimer(ITIMER_REAL, &interval, nullptr), 0);
  ready_and_wait();
  pid_t pid = child([&] {
    CHECK_EQ(alarm(0), 0);
    CHECK_EQ(getitimer(ITIMER_REAL, &interval), 0);
    CHECK(interval.it_value.tv_sec == 0 && interval.it_value.tv_usec == 0);
    CHECK_ERRNO(timer_gettime(timer, &spec), EINVAL);
    timer_t own;
    CHECK_EQ(timer_create(CLOCK_REALTIME, &none, &own), 0);
    CHECK(own == timer);  // numbers begin anew
    return 0;
  });
  EXPECT_END(pid, 0);
  CHECK_EQ(timer_gettime(timer, &spec), 0);
  CHECK(spec.it_value.tv_sec > 300);
  char number[20];
  snprintf(number, sizeof number, "%ld", reinterpret_cast<long>(timer));
  execl("/proc/self/exe", argv[0], number, nullptr);
  FAIL("exec: %s", strerror(errno));
}
