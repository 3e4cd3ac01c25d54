// SPDX-License-Identifier: Apache-2.0
// Edge-triggered sets tell of every new arrival once and of nothing else, also of arrivals during moves: a user would
// see a server that stalls with a request in its buffer, or one that spins.
#include <sys/epoll.h>

#include "tests/programs/network.h"

int main() {
  int pair[2], set = epoll_create1(0);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.u64 = 0xfeedfacecafebeef}}, got[4];
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event), 0);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
  CHECK_EQ(got[0].events, EPOLLOUT);
  for (int round = 0; round < 3; round++) {
    CHECK_EQ(epoll_wait(set, got, 4, 0), 0);
    write_all(pair[1], "a", 1);
    if (round < 2) ready_and_wait();
    CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
    CHECK_EQ(got[0].events, EPOLLIN | EPOLLOUT);
    CHECK(got[0].data.u64 == event.data.u64);
    CHECK_EQ(epoll_wait(set, got, 4, 0), 0);  // told once, though it was not read
    write_all(pair[1], "b", 1);
    CHECK_EQ(epoll_wait(set, got, 4, 0), 1);  // a new arrival
    char text[4];
    CHECK_EQ(read(pair[0], text, 4), 2);
  }
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, pair[0], &event), 0);  // asked for anew: told anew
  CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
  CHECK_EQ(got[0].events, EPOLLOUT);
  CHECK_EQ(shutdown(pair[1], SHUT_WR), 0);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
  CHECK_EQ(got[0].events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
  close(pair[1]);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
  CHECK_EQ(got[0].events, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 0);
  return 0;
}
