// SPDX-License-Identifier: Apache-2.0
// Hundreds of descriptors ready at once, taken a few at a time: each is told in turn. A user would see a busy server
// that serves some of its clients only.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "tests/programs/program.h"

int main() {
  constexpr int kCount = 700;
  static int fds[kCount], told[kCount];
  int set = epoll_create1(0);
  for (int i = 0; i < kCount; i++) {
    fds[i] = eventfd(0, EFD_NONBLOCK);
    CHECK(fds[i] >= 0);
    epoll_event event = {EPOLLIN, {.fd = i}};
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event), 0);
  }
  static epoll_event events[kCount + 1];
  for (int round = 1; round <= 3; round++) {
    unsigned long one = 1;
    for (int fd : fds) CHECK_EQ(write(fd, &one, 8), 8);
    ready_and_wait();
    CHECK_EQ(epoll_wait(set, events, kCount + 1, 0), kCount);
    for (int i = 0; i < 100; i++) {
      CHECK_EQ(epoll_wait(set, events, 7, -1), 7);  // level-triggered, but the others first
      for (int j = 0; j < 7; j++) told[events[j].data.fd]++;
    }
    for (int i = 0; i < kCount; i++) {
      CHECK_EQ(told[i], round);
      CHECK_EQ(read(fds[i], &one, 8), 8);
    }
    CHECK_EQ(epoll_wait(set, events, 1, 0), 0);
  }
  return 0;
}
