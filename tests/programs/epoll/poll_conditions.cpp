// SPDX-License-Identifier: Apache-2.0
// What poll reports: hang-ups, errors, invalid descriptors, urgent data, half-closed streams, asked for or not. A user
// would see programs that wait for a peer that is gone.
#include <poll.h>

#include "tests/programs/network.h"

namespace {
short state(int fd, short events) {
  pollfd polled = {fd, events, 0x7777};
  int count = poll(&polled, 1, 0);
  CHECK_EQ(count, polled.revents ? 1 : 0);
  return polled.revents;
}
}  // namespace

int main() {
  int ends[2], orphan[2], pair[2], tcp[2];
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(pipe(orphan), 0);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  tcp_pair(tcp);
  write_all(ends[1], "x", 1);
  close(ends[1]);
  close(orphan[0]);
  CHECK_EQ(shutdown(pair[1], SHUT_WR), 0);
  CHECK_EQ(send(tcp[1], "!", 1, MSG_OOB), 1);
  int refused = bound_socket(SOCK_DGRAM), target = bound_socket(SOCK_DGRAM);
  sockaddr_in address = own_name(target);
  CHECK_EQ(connect(refused, as_sockaddr(address), sizeof address), 0);
  close(target);
  CHECK_EQ(send(refused, "x", 1, 0), 1);
  pollfd urgent = {tcp[0], POLLPRI, 0};
  CHECK_EQ(poll(&urgent, 1, 10'000), 1);
  ready_and_wait();
  CHECK_EQ(state(ends[0], POLLIN), POLLIN | POLLHUP);
  CHECK_EQ(state(ends[0], 0), POLLHUP);  // not asked for
  CHECK_EQ(state(orphan[1], POLLOUT), POLLOUT | POLLERR);
  CHECK_EQ(state(pair[0], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
  CHECK_EQ(state(pair[0], POLLOUT), POLLOUT);
  CHECK_EQ(state(tcp[0], POLLPRI), POLLPRI);
  CHECK_EQ(state(refused, 0), POLLERR);
  CHECK_EQ(get_option<int>(refused, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  CHECK_EQ(state(refused, 0), 0);
  CHECK_EQ(state(0x7ffff, POLLIN), POLLNVAL);
  close(pair[1]);
  CHECK_EQ(state(pair[0], POLLIN), POLLIN | POLLHUP);
  pollfd several[4] = {{-5, POLLIN, 1}, {ends[0], 0, 0}, {tcp[1], POLLOUT, 0}, {tcp[1], POLLIN, 7}};
  CHECK_EQ(poll(several, 4, 5000), 2);
  CHECK(several[0].revents == 0 && several[1].revents == POLLHUP && several[2].revents == POLLOUT);
  CHECK_EQ(several[3].revents, 0);
  return 0;
}
