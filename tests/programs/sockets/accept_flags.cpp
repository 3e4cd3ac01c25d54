// SPDX-License-Identifier: Apache-2.0
// accept4 with flags, on a queue of connections that were made before the moves: a user would see a server that hangs
// in a read it believes not to block, or that leaks its connections into the programs it starts.
#include "tests/programs/network.h"

int main() {
  int listener = tcp_listener(5), clients[4];
  for (int& each : clients) each = tcp_client(listener);
  ready_and_wait();
  const int wanted[4] = {0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK};
  for (int i = 0; i < 4; i++) {
    sockaddr_in peer = {};
    socklen_t length = sizeof peer;
    int fd = accept4(listener, as_sockaddr(peer), &length, wanted[i]);
    CHECK(fd >= 0);
    CHECK_EQ(length, sizeof peer);
    CHECK_EQ(peer.sin_port, own_name(clients[i]).sin_port);  // in the order in which they came
    CHECK_EQ(fcntl(fd, F_GETFD), wanted[i] & SOCK_CLOEXEC ? FD_CLOEXEC : 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, wanted[i] & SOCK_NONBLOCK);
    char byte;
    if (wanted[i] & SOCK_NONBLOCK) CHECK_ERRNO(read(fd, &byte, 1), EAGAIN);
    write_all(clients[i], "x", 1);
    if (!(wanted[i] & SOCK_NONBLOCK)) CHECK_EQ(read(fd, &byte, 1), 1);
    close(fd);
  }
  CHECK_ERRNO(accept4(listener, nullptr, nullptr, 0x40000000), EINVAL);
  CHECK_EQ(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
  CHECK_ERRNO(accept4(listener, nullptr, nullptr, 0), EAGAIN);
  CHECK_ERRNO(accept(0x7fff, nullptr, nullptr), EBADF);
  return 0;
}
