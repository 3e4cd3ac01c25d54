// SPDX-License-Identifier: Apache-2.0
// epoll sets, level and edge triggered, nested, changed while away, with data that comes back as it was given.
#include <sys/epoll.h>

#include "tests/programs/program.h"

int main() {
  int a[2], b[2], set = epoll_create1(EPOLL_CLOEXEC), outer = epoll_create1(0);
  CHECK_EQ(pipe(a), 0);
  CHECK_EQ(pipe2(b, O_NONBLOCK), 0);
  epoll_event level = {EPOLLIN, {.u64 = 0x1122334455667788}}, edge = {EPOLLIN | EPOLLET, {.u64 = 0xfedcba9876543210}};
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, a[0], &level), 0);
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, b[0], &edge), 0);
  epoll_event nested = {EPOLLIN, {.fd = set}}, events[10];
  CHECK_EQ(epoll_ctl(outer, EPOLL_CTL_ADD, set, &nested), 0);
  CHECK_EQ(epoll_wait(set, events, 10, 0), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_EQ(epoll_wait(outer, events, 10, 0), 0);
    write_all(a[1], "x", 1);
    write_all(b[1], "y", 1);
    CHECK_EQ(epoll_wait(outer, events, 10, 1000), 1);
    CHECK_EQ(events[0].data.fd, set);
    CHECK_EQ(epoll_wait(set, events, 10, 1000), 2);
    for (int i = 0; i < 2; i++) CHECK(events[i].data.u64 == level.data.u64 || events[i].data.u64 == edge.data.u64);
    ready_and_wait();
    CHECK_EQ(epoll_wait(set, events, 10, 1000), 1);  // only the level-triggered one again
    CHECK(events[0].data.u64 == level.data.u64);
    char byte;
    read_all(a[0], &byte, 1);
    read_all(b[0], &byte, 1);
    CHECK_ERRNO(read(b[0], &byte, 1), EAGAIN);
    CHECK_EQ(epoll_wait(set, events, 10, 20), 0);
  }
  epoll_event once = {EPOLLIN | EPOLLONESHOT, {.u32 = 5}};
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, a[0], &once), 0);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, a[0], &once), EEXIST);
  write_all(a[1], "x", 1);
  CHECK_EQ(epoll_pwait(set, events, 1, -1, nullptr), 1);
  CHECK_EQ(events[0].data.u32, 5);
  CHECK_EQ(epoll_wait(set, events, 1, 0), 0);
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_DEL, a[0], nullptr), 0);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_DEL, a[0], nullptr), ENOENT);
  return 0;
}
