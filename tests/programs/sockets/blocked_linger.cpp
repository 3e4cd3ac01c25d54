// SPDX-License-Identifier: Apache-2.0
// Moved while close waits, as SO_LINGER asks, for the peer to take the last data: a user would see the end of a
// transfer cut off, or a descriptor that is closed twice.
#include "tests/programs/network.h"

namespace {
unsigned char data[64 << 10], received[sizeof data];
}  // namespace

int main() {
  int pair[2];
  tcp_pair(pair);
  set_option(pair[0], SOL_SOCKET, SO_LINGER, linger{1, 30});
  fill(data, sizeof data, 9);
  size_t total = 0;
  ssize_t sent;
  while ((sent = send(pair[0], data, sizeof data, MSG_DONTWAIT)) > 0) total += static_cast<size_t>(sent);
  CHECK_EQ(errno, EAGAIN);
  int closed[2];
  CHECK_EQ(pipe(closed), 0);
  pid_t reader = child([&] {
    close(pair[0]);  // first: the other's close has to be the last one
    write_all(closed[1], "x", 1);
    if (!getenv("OMIG_TEST_FIFOS")) usleep(200'000);
    wait_for_go();
    size_t got = 0, position = 0;
    ssize_t part;
    while ((part = read(pair[1], received, sizeof received - position)) > 0) {
      CHECK(memcmp(received, data + position, static_cast<size_t>(part)) == 0);
      position = (position + static_cast<size_t>(part)) % sizeof data;
      got += static_cast<size_t>(part);
    }
    CHECK_EQ(part, 0);
    CHECK_EQ(got, total);
    return 0;
  });
  close(pair[1]);
  char byte;
  read_all(closed[0], &byte, 1);
  int fd = pair[0], again = dup(0);
  announce("blocked");
  CHECK_EQ(close(fd), 0);
  CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF);
  CHECK_EQ(fcntl(again, F_GETFD), 0);
  EXPECT_END(reader, 0);
  return 0;
}
