// SPDX-License-Identifier: Apache-2.0
// Moved while connect waits for room in a Unix listener's full queue: a user would see a client that fails to reach a
// busy server, or that connects twice.
#include "tests/programs/network.h"

int main() {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, "busy");
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK_EQ(bind(listener, as_sockaddr(address), sizeof address), 0);
  CHECK_EQ(listen(listener, 0), 0);
  int queued = 0, fd;  // fill the queue
  while (true) {
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, as_sockaddr(address), sizeof address) != 0) break;
    queued++;
  }
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(queued, 1);
  CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
  pid_t server = after_go([&] {
    char text[5];
    close(accept(listener, nullptr, nullptr));
    int last = accept(listener, nullptr, nullptr);
    CHECK(last >= 0);
    read_all(last, text, 5);
    CHECK(memcmp(text, "hello", 5) == 0);
    CHECK_EQ(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERRNO(accept(listener, nullptr, nullptr), EAGAIN);
    write_all(last, "again", 5);
  });
  announce("blocked");
  CHECK_EQ(connect(fd, as_sockaddr(address), sizeof address), 0);
  CHECK_ERRNO(connect(fd, as_sockaddr(address), sizeof address), EISCONN);
  write_all(fd, "hello", 5);
  char text[5];
  read_all(fd, text, 5);
  CHECK(memcmp(text, "again", 5) == 0);
  EXPECT_END(server, 0);
  return 0;
}
