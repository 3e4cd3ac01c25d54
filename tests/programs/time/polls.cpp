// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in poll, select, epoll_wait, ppoll and pselect with a time-out: 0 after the whole time.
// The process is large enough for pre-copy, so it is stopped twice.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "tests/programs/program.h"

namespace {
constexpr double kWait = 2.0;
int quiet[2];
char large[16 << 20];

void expect_waited(double start, const char* what) {
  double took = seconds() - start;
  if (took < kWait - 0.002 || took > kWait + 1.5) FAIL("%s of %.1f s took %.3f s", what, kWait, took);
}
void* by_select(void*) {
  double start = seconds();
  fd_set set;
  FD_ZERO(&set);
  FD_SET(quiet[0], &set);
  timeval wait = {2, 0};
  CHECK_EQ(select(quiet[0] + 1, &set, nullptr, nullptr, &wait), 0);
  CHECK_EQ(FD_ISSET(quiet[0], &set), 0);
  // Linux writes back what is left.
  if (wait.tv_sec != 0 || wait.tv_usec != 0)
    FAIL("select of 2 s took %.3f s and left %ld.%06ld s", seconds() - start, wait.tv_sec, wait.tv_usec);
  expect_waited(start, "select");
  return nullptr;
}
void* by_epoll(void*) {
  double start = seconds();
  int set = epoll_create1(0);
  epoll_event event = {EPOLLIN, {.fd = quiet[0]}};
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, quiet[0], &event), 0);
  CHECK_EQ(epoll_wait(set, &event, 1, 2000), 0);
  expect_waited(start, "epoll_wait");
  close(set);
  return nullptr;
}
void* by_ppoll(void*) {
  double start = seconds();
  pollfd polled = {quiet[0], POLLIN, 0};
  timespec wait = {2, 0};
  sigset_t mask;
  sigemptyset(&mask);
  CHECK_EQ(ppoll(&polled, 1, &wait, &mask), 0);
  expect_waited(start, "ppoll");
  return nullptr;
}
void* by_pselect(void*) {
  double start = seconds();
  timespec wait = {2, 0};
  CHECK_EQ(pselect(0, nullptr, nullptr, nullptr, &wait, nullptr), 0);
  expect_waited(start, "pselect");
  return nullptr;
}
}  // namespace

int main() {
  CHECK_EQ(pipe(quiet), 0);
  memset(large, 1, sizeof large);
  pthread_t threads[4];
  void* (*bodies[4])(void*) = {by_select, by_epoll, by_ppoll, by_pselect};
  for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, bodies[i], nullptr), 0);
  announce("blocked", 1, 1900);
  double start = seconds();
  pollfd polled = {quiet[0], POLLIN, 0};
  CHECK_EQ(poll(&polled, 1, 2000), 0);
  expect_waited(start, "poll");
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  return 0;
}
