// SPDX-License-Identifier: Apache-2.0
// Moved inside epoll_pwait2 with nanoseconds, epoll_pwait, poll on nothing and pselect, all with time-outs: they end at
// their time. A user would see timers of an event loop late by as long as its moves took.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "tests/programs/program.h"

namespace {
int set;

void expect_waited(double start, double wait, const char* what) {
  double took = seconds() - start;
  if (took < wait - 0.002 || took > wait + 1.5) FAIL("%s of %.3f s took %.3f s", what, wait, took);
}
void* by_pwait(void*) {
  epoll_event event;
  double start = seconds();
  CHECK_EQ(epoll_pwait(set, &event, 1, 2050, nullptr), 0);
  expect_waited(start, 2.05, "epoll_pwait");
  return nullptr;
}
void* by_poll(void*) {
  double start = seconds();
  CHECK_EQ(poll(nullptr, 0, 2100), 0);
  expect_waited(start, 2.1, "poll");
  return nullptr;
}
void* by_select(void*) {
  timeval wait = {2, 150'000};
  double start = seconds();
  CHECK_EQ(select(0, nullptr, nullptr, nullptr, &wait), 0);
  expect_waited(start, 2.15, "select");
  CHECK(wait.tv_sec == 0 && wait.tv_usec == 0);
  return nullptr;
}
}  // namespace

int main() {
  set = epoll_create1(0);
  pthread_t threads[3];
  void* (*bodies[3])(void*) = {by_pwait, by_poll, by_select};
  for (int i = 0; i < 3; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, bodies[i], nullptr), 0);
  epoll_event event;
  timespec wait = {2, 1'500'000};
  announce("blocked", 1, 1900);
  double start = seconds();
  CHECK_EQ(epoll_pwait2(set, &event, 1, &wait, nullptr), 0);
  expect_waited(start, 2.0015, "epoll_pwait2");
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  wait = {0, 1'000'000'000};
  CHECK_ERRNO(epoll_pwait2(set, &event, 1, &wait, nullptr), EINVAL);
  return 0;
}
