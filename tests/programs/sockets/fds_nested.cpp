// SPDX-License-Identifier: Apache-2.0
// A Unix socket with a message and a descriptor waiting in it is itself passed through a Unix socket, and opened while
// away: a user would see a broker (systemd, D-Bus, Wayland) lose what it hands over.
#include "tests/programs/network.h"

int main() {
  int outer[2], inner[2], ends[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, outer), 0);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, inner), 0);
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(send_descriptors(inner[0], "inner", &ends[1], 1), 5);
  CHECK_EQ(send_descriptors(outer[0], "outer", &inner[1], 1), 5);
  close(ends[1]);
  close(inner[0]);
  close(inner[1]);
  ready_and_wait();
  int socket = -1, writer = -1, flags;
  CHECK_EQ(receive_descriptors(outer[1], "outer", &socket, 1, &flags), 1);
  CHECK_EQ(fcntl(socket, F_GETFD), 0);
  ready_and_wait();
  CHECK_EQ(receive_descriptors(socket, "inner", &writer, 1, &flags), 1);
  write_all(writer, "x", 1);
  close(writer);
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  CHECK_EQ(read(ends[0], &byte, 1), 0);  // nobody else holds the pipe's other end
  CHECK_EQ(recv(socket, &byte, 1, 0), 0);
  return 0;
}
