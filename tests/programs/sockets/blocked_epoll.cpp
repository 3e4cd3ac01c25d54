// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in epoll without a time-out: it must not return before the data is there.
#include <sys/epoll.h>

#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  int set = epoll_create1(0);
  epoll_event event = {EPOLLIN, {.fd = ends[0]}};
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), 0);
  pid_t helper = after_go([&] { write_all(ends[1], "x", 1); });
  announce("blocked");
  CHECK_EQ(epoll_wait(set, &event, 1, -1), 1);
  CHECK_EQ(event.data.fd, ends[0]);
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_END(helper, 0);
  return 0;
}
