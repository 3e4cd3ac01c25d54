// SPDX-License-Identifier: Apache-2.0
// Moved while they wait with EPOLLEXCLUSIVE: processes that wait for one listener, each with a set of its own, share
// its connections; none is lost and its rules hold. A user would see a pre-forking server in which a connection waits
// for ever.
#include <sys/epoll.h>

#include "tests/programs/network.h"

namespace {
int worker(int listener) {
  int set = epoll_create1(0), served = 0;
  epoll_event event = {EPOLLIN | EPOLLEXCLUSIVE, {.u32 = 1}};
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, listener, &event), 0);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_MOD, listener, &event), EINVAL);  // it cannot be changed
  announce("blocked", 2);
  while (true) {
    CHECK_EQ(epoll_wait(set, &event, 1, -1), 1);
    int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      CHECK_EQ(errno, EAGAIN);
      continue;
    }
    char request;
    read_all(fd, &request, 1);
    write_all(fd, &request, 1);
    close(fd);
    if (request == 'q') return 0;
    served++;
  }
}
}  // namespace

int main() {
  int listener = tcp_listener(64);
  CHECK_EQ(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
  pid_t workers[2];
  for (pid_t& each : workers) each = child([&] { return worker(listener); });
  for (int i = 0; i < 2; i++) wait_for_go();  // on behalf of the workers
  auto ask = [&](char request) {
    int fd = tcp_client(listener);
    write_all(fd, &request, 1);
    char answer;
    read_all(fd, &answer, 1);
    CHECK_EQ(answer, request);
    CHECK_EQ(read(fd, &answer, 1), 0);
    close(fd);
  };
  for (int i = 0; i < 50; i++) ask('r');
  for (int i = 0; i < 2; i++) ask('q');
  for (pid_t each : workers) EXPECT_END(each, 0);
  return 0;
}
