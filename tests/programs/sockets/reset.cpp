// SPDX-License-Identifier: Apache-2.0
// A connection that is cut off instead of closed: the other side gets ECONNRESET once, then the end; half-closed ones
// still carry data the other way. A user would see a broken download end as if it were complete.
#include <poll.h>

#include "tests/programs/network.h"

int main() {
  for (int round = 0; round < 2; round++) {
    int pair[2];
    tcp_pair(pair);
    CHECK_EQ(shutdown(pair[0], SHUT_WR), 0);
    ready_and_wait();
    char text[10] = {};
    CHECK_EQ(recv(pair[1], text, 10, 0), 0);
    CHECK_EQ(send(pair[1], "still", 5, 0), 5);  // the other half lives
    CHECK_EQ(recv(pair[0], text, 10, 0), 5);
    CHECK_ERRNO(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(get_option<tcp_info>(pair[0], IPPROTO_TCP, TCP_INFO).tcpi_state, TCP_FIN_WAIT2);
    CHECK_EQ(get_option<tcp_info>(pair[1], IPPROTO_TCP, TCP_INFO).tcpi_state, TCP_CLOSE_WAIT);
    close(pair[0]);
    close(pair[1]);

    tcp_pair(pair);
    set_option(pair[0], SOL_SOCKET, SO_LINGER, linger{1, 0});
    close(pair[0]);
    ready_and_wait();
    pollfd polled = {pair[1], POLLIN, 0};
    CHECK_EQ(poll(&polled, 1, 20'000), 1);
    CHECK_EQ(polled.revents, POLLIN | POLLERR | POLLHUP);
    if (round == 0)
      CHECK_ERRNO(recv(pair[1], text, 10, 0), ECONNRESET);
    else
      CHECK_EQ(get_option<int>(pair[1], SOL_SOCKET, SO_ERROR), ECONNRESET);
    CHECK_EQ(get_option<int>(pair[1], SOL_SOCKET, SO_ERROR), 0);
    CHECK_EQ(recv(pair[1], text, 10, 0), 0);
    CHECK_ERRNO(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    sockaddr_in name;
    socklen_t length = sizeof name;
    CHECK_ERRNO(getpeername(pair[1], as_sockaddr(name), &length), ENOTCONN);
    close(pair[1]);
  }
  return 0;
}
