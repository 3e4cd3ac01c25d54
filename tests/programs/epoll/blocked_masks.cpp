// SPDX-License-Identifier: Apache-2.0
// Moved inside ppoll, pselect, epoll_pwait and epoll_pwait2 whose mask lets in a signal that is otherwise blocked: it
// ends the call with EINTR, its handler runs once, and the old mask is back. A user would see a daemon that misses its
// SIGTERM, or is hit by it where it had blocked it.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t handled = 0;
}

int main() {
  on_signal(
      SIGTERM, +[](int) { handled = handled + 1; }, SA_RESTART);
  sigset_t blocked, open, now;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &blocked, &open), 0);
  int ends[2], set = epoll_create1(0);
  CHECK_EQ(pipe(ends), 0);
  epoll_event event = {EPOLLIN, {.fd = ends[0]}};
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), 0);
  pid_t self = getpid();
  for (int way = 0; way < 4; way++) {
    pid_t sender = after_go([&] { kill(self, SIGTERM); });
    pollfd polled = {ends[0], POLLIN, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(ends[0], &in);
    timespec long_time = {1000, 0};
    announce("blocked");
    switch (way) {
      case 0: CHECK_ERRNO(ppoll(&polled, 1, &long_time, &open), EINTR); break;
      case 1: CHECK_ERRNO(pselect(ends[0] + 1, &in, nullptr, nullptr, nullptr, &open), EINTR); break;
      case 2: CHECK_ERRNO(epoll_pwait(set, &event, 1, -1, &open), EINTR); break;
      default: CHECK_ERRNO(epoll_pwait2(set, &event, 1, &long_time, &open), EINTR); break;
    }
    CHECK_EQ(handled, way + 1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, nullptr, &now), 0);
    CHECK_EQ(sigismember(&now, SIGTERM), 1);
    EXPECT_END(sender, 0);
  }
  CHECK_EQ(kill(self, SIGTERM), 0);
  CHECK_EQ(handled, 4);  // blocked again
  CHECK_EQ(epoll_pwait(set, &event, 1, 0, nullptr), 0);
  CHECK_EQ(handled, 4);
  CHECK_EQ(sigprocmask(SIG_SETMASK, &open, nullptr), 0);
  CHECK_EQ(handled, 5);
  return 0;
}
