// SPDX-License-Identifier: Apache-2.0
// TCP_CORK holds a partial segment back until it is taken off, MSG_MORE until the next send; TCP_NODELAY, keepalive and
// time-out options keep their values. A user would see headers sent in a packet of their own, or never.
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "tests/programs/network.h"

namespace {
int arrived(int fd) {
  int count = -1;
  CHECK_EQ(ioctl(fd, FIONREAD, &count), 0);
  return count;
}
}  // namespace

int main() {
  int pair[2];
  tcp_pair(pair);
  const struct {
    int level, name, value;
  } options[] = {
      {IPPROTO_TCP, TCP_NODELAY, 1},      {SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 61},
      {IPPROTO_TCP, TCP_KEEPINTVL, 7},    {IPPROTO_TCP, TCP_KEEPCNT, 5}, {IPPROTO_TCP, TCP_USER_TIMEOUT, 9999},
      {IPPROTO_TCP, TCP_DEFER_ACCEPT, 0}, {IPPROTO_IP, IP_TOS, 0x10},    {SOL_SOCKET, SO_PRIORITY, 4},
      {IPPROTO_TCP, TCP_QUICKACK, 1},     {IPPROTO_TCP, TCP_SYNCNT, 3},  {SOL_SOCKET, SO_RCVLOWAT, 1}};
  for (auto& option : options) set_option(pair[0], option.level, option.name, option.value);
  ready_and_wait();
  for (auto& option : options)
    if (get_option<int>(pair[0], option.level, option.name) != option.value)
      FAIL("option %d of level %d is not %d", option.name, option.level, option.value);
  CHECK_EQ(get_option<int>(pair[0], SOL_SOCKET, SO_ACCEPTCONN), 0);
  CHECK_EQ(get_option<int>(pair[0], SOL_SOCKET, SO_DOMAIN), AF_INET);
  CHECK_EQ(get_option<int>(pair[0], SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
  char name[16] = {};
  socklen_t length = sizeof name;
  CHECK_EQ(getsockopt(pair[0], IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
  CHECK_EQ(setsockopt(pair[0], IPPROTO_TCP, TCP_CONGESTION, name, static_cast<socklen_t>(strlen(name))), 0);
  for (int round = 0; round < 2; round++) {
    set_option(pair[0], IPPROTO_TCP, TCP_CORK, 1);
    write_all(pair[0], "head", 4);
    CHECK_EQ(arrived(pair[1]), 0);
    write_all(pair[0], "body", 4);
    CHECK_EQ(arrived(pair[1]), 0);
    set_option(pair[0], IPPROTO_TCP, TCP_CORK, 0);
    CHECK_EQ(arrived(pair[1]), 8);  // loopback: at once
    char text[10] = {};
    CHECK_EQ(recv(pair[1], text, 10, 0), 8);
    CHECK(strcmp(text, "headbody") == 0);
    ready_and_wait();
  }
  CHECK_ERRNO(setsockopt(pair[0], IPPROTO_TCP, 9999, name, 4), ENOPROTOOPT);
  CHECK_ERRNO(setsockopt(pair[0], IPPROTO_TCP, TCP_KEEPIDLE, name, 1), EINVAL);
  length = 2;  // less room than the value
  unsigned short half = 0;
  CHECK_EQ(getsockopt(pair[0], IPPROTO_TCP, TCP_KEEPIDLE, &half, &length), 0);
  CHECK(length == 2 && half == 61);
  return 0;
}
