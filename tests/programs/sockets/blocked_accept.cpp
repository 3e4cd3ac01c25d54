// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in accept; the peer's address is right, and the connection works.
#include <arpa/inet.h>
#include <sys/socket.h>

#include "tests/programs/program.h"

int main() {
  int listener = socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address = {}, peer = {}, client = {};
  if (listener < 0) {  // a machine without IPv6 cannot run this test natively either
    CHECK_EQ(errno, EAFNOSUPPORT);
    return 0;
  }
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    CHECK_EQ(errno, EADDRNOTAVAIL);
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &address.sin6_addr);
    CHECK_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  CHECK_EQ(listen(listener, 5), 0);
  socklen_t length = sizeof address;
  CHECK_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t helper = after_go([&] {
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof client;
    CHECK_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&client), &size), 0);
    write_all(ends[1], &client, sizeof client);
    write_all(fd, "hello", 5);
    char text[5];
    read_all(fd, text, 5);
    CHECK(memcmp(text, "again", 5) == 0);
  });
  announce("blocked");
  length = sizeof peer;
  int fd = accept(listener, reinterpret_cast<sockaddr*>(&peer), &length);
  CHECK(fd >= 0);
  read_all(ends[0], &client, sizeof client);
  CHECK_EQ(peer.sin6_port, client.sin6_port);
  char text[5];
  read_all(fd, text, 5);
  CHECK(memcmp(text, "hello", 5) == 0);
  write_all(fd, "again", 5);
  EXPECT_END(helper, 0);
  return 0;
}
