// SPDX-License-Identifier: Apache-2.0
// Moved while a TCP connect waits because the listener's queue is full and its packets are dropped: once there is room
// it is connected, by one connection. A user would see "connection refused" or "already in progress".
#include "tests/programs/network.h"

int main() {
  int listener = tcp_listener(0);
  sockaddr_in address = own_name(listener);
  int first = tcp_client(listener);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  pid_t server = after_go([&] {
    close(accept(listener, nullptr, nullptr));
    int last = accept(listener, nullptr, nullptr);
    CHECK(last >= 0);
    char text[5];
    read_all(last, text, 5);
    CHECK(memcmp(text, "hello", 5) == 0);
    write_all(last, "again", 5);
    CHECK_EQ(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERRNO(accept(listener, nullptr, nullptr), EAGAIN);
  });
  announce("blocked");
  CHECK_EQ(connect(fd, as_sockaddr(address), sizeof address), 0);
  CHECK_ERRNO(connect(fd, as_sockaddr(address), sizeof address), EISCONN);
  write_all(fd, "hello", 5);
  char text[5];
  read_all(fd, text, 5);
  CHECK(memcmp(text, "again", 5) == 0);
  EXPECT_END(server, 0);
  close(first);
  return 0;
}
