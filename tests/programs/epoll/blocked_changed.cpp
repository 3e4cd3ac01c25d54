// SPDX-License-Identifier: Apache-2.0
// Moved while epoll_wait waits, and then the set is changed under it: by another thread that adds a ready descriptor
// and removes the first, and by another process that holds the same set. A user would see a wake-up that never comes.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "tests/programs/program.h"

namespace {
int set, quiet, ready, go_on;

void* change(void*) {
  unsigned long one;
  CHECK_EQ(read(go_on, &one, 8), 8);
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_DEL, quiet, nullptr), 0);
  CHECK_EQ(write(quiet, &one, 8), 8);  // nobody may hear of that
  epoll_event event = {EPOLLIN | EPOLLONESHOT, {.u64 = 0x99}};
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, ready, &event), 0);
  return nullptr;
}
}  // namespace

int main() {
  set = epoll_create1(0);
  quiet = eventfd(0, 0), ready = eventfd(1, 0), go_on = eventfd(0, 0);
  epoll_event event = {EPOLLIN, {.u64 = 0x11}}, got[4];
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, quiet, &event), 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, change, nullptr), 0);
  pid_t first = after_go([&] {
    unsigned long one = 1;
    CHECK_EQ(write(go_on, &one, 8), 8);
  });
  announce("blocked");
  CHECK_EQ(epoll_wait(set, got, 4, -1), 1);
  CHECK_EQ(got[0].data.u64, 0x99);
  CHECK_EQ(pthread_join(thread, nullptr), 0);
  EXPECT_END(first, 0);
  pid_t second = after_go([&] {
    epoll_event again = {EPOLLIN, {.u64 = 0x1234567890}};
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, ready, &again), 0);
  });
  announce("blocked");
  CHECK_EQ(epoll_pwait2(set, got, 4, nullptr, nullptr), 1);
  CHECK_EQ(got[0].data.u64, 0x1234567890);
  EXPECT_END(second, 0);
  return 0;
}
