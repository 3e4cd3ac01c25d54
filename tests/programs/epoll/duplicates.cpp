// SPDX-License-Identifier: Apache-2.0
// A set watches open files, not numbers: a closed descriptor whose file lives on in a duplicate goes on being told,
// under its old data, and cannot be removed. A user would see a library that relies on it get, or miss, stale events.
#include <sys/epoll.h>

#include "tests/programs/program.h"

int main() {
  int ends[2], set = epoll_create1(0);
  CHECK_EQ(pipe(ends), 0);
  epoll_event event = {EPOLLIN, {.u32 = 11}}, got[4];
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), 0);
  int copy = dup(ends[0]);
  event.data.u32 = 22;
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, copy, &event), 0);  // the same file under another number is another entry
  write_all(ends[1], "x", 1);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 2);
  ready_and_wait();
  close(ends[0]);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 2);
  CHECK_EQ(got[0].data.u32 + got[1].data.u32, 33);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], nullptr), EBADF);
  CHECK_EQ(dup2(copy, ends[0]), ends[0]);  // the number comes back with the same file: the entry is reachable again
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], nullptr), 0);
  CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
  CHECK_EQ(got[0].data.u32, 22);
  ready_and_wait();
  close(ends[0]);
  close(copy);  // the last one: the entry goes by itself
  CHECK_EQ(epoll_wait(set, got, 4, 0), 0);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, set, &event), EINVAL);
  int file = open("file", O_RDWR | O_CREAT, 0600);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, file, &event), EPERM);
  CHECK_ERRNO(epoll_ctl(file, EPOLL_CTL_ADD, set, &event), EINVAL);
  CHECK_ERRNO(epoll_wait(set, got, 0, 0), EINVAL);
  // Sets in sets: a circle is refused, and a chain that is too deep.
  int sets[6];
  for (int& each : sets) each = epoll_create1(0);
  int i = 0;
  for (; i < 5; i++) {
    event = {EPOLLIN, {.fd = i}};
    if (epoll_ctl(sets[i + 1], EPOLL_CTL_ADD, sets[i], &event) != 0) break;
  }
  CHECK_EQ(errno, ELOOP);
  CHECK_EQ(i, 4);  // EP_MAX_NESTS
  CHECK_ERRNO(epoll_ctl(sets[0], EPOLL_CTL_ADD, sets[1], &event), ELOOP);
  return 0;
}
