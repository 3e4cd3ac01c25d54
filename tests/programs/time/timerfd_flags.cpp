// SPDX-License-Identifier: Apache-2.0
// timerfds of every clock, set before moves: time left, ticks counted once, re-arming and disarming, absolute times in
// the past, cancel-on-set. A user would see systemd's timers or an event loop's fire twice or never.
#include <poll.h>
#include <sys/timerfd.h>

#include "tests/programs/program.h"

int main() {
  const clockid_t clocks[4] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_REALTIME};
  int fds[4];
  for (int i = 0; i < 4; i++) {
    fds[i] = timerfd_create(clocks[i], TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(fds[i] >= 0);
    timespec now;
    clock_gettime(clocks[i], &now);
    itimerspec spec = {{0, 0}, {300, 0}};
    if (i >= 2) spec.it_value = {now.tv_sec + 300, now.tv_nsec};
    int flags = i < 2 ? 0 : i == 2 ? TFD_TIMER_ABSTIME : TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    CHECK_EQ(timerfd_settime(fds[i], flags, &spec, nullptr), 0);
  }
  double start = seconds();
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    for (int fd : fds) {
      unsigned long ticks;
      CHECK_ERRNO(read(fd, &ticks, 8), EAGAIN);
      itimerspec spec;
      double before = seconds() - start;
      CHECK_EQ(timerfd_gettime(fd, &spec), 0);
      double left = static_cast<double>(spec.it_value.tv_sec) + static_cast<double>(spec.it_value.tv_nsec) / 1e9;
      if (left > 300.05 - before || left < 299.9 - (seconds() - start)) FAIL("%.3f s left after %.3f s", left, before);
    }
  }
  for (int fd : fds) {
    itimerspec past = {{0, 0}, {1, 0}}, old;
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &past, &old), 0);
    CHECK(old.it_value.tv_sec > 200);
    pollfd polled = {fd, POLLIN, 0};
    CHECK_EQ(poll(&polled, 1, 20'000), 1);
  }
  ready_and_wait();
  for (int fd : fds) {
    unsigned long ticks = 0;
    CHECK_ERRNO(read(fd, &ticks, 7), EINVAL);
    CHECK_EQ(read(fd, &ticks, 8), 8);
    CHECK_EQ(ticks, 1);
    CHECK_ERRNO(read(fd, &ticks, 8), EAGAIN);
    itimerspec soon = {{0, 1'000'000}, {0, 1'000'000}}, off = {};
    CHECK_EQ(timerfd_settime(fd, 0, &soon, nullptr), 0);
    usleep(20'000);
    CHECK_EQ(timerfd_settime(fd, 0, &off, nullptr), 0);  // what was not read is gone
    CHECK_ERRNO(read(fd, &ticks, 8), EAGAIN);
    CHECK_ERRNO(timerfd_settime(fd, 0x100, &soon, nullptr), EINVAL);
  }
  CHECK_ERRNO(timerfd_create(CLOCK_THREAD_CPUTIME_ID, 0), EINVAL);
  return 0;
}
