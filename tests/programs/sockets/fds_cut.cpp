// SPDX-License-Identifier: Apache-2.0
// Control data that does not fit: MSG_CTRUNC says so, the descriptors that fit come, the others are not leaked. A user
// would see a long-running server run out of descriptors.
#include "tests/programs/network.h"

namespace {
int lowest_free() {
  int fd = dup(0);
  close(fd);
  return fd;
}
}  // namespace

int main() {
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  const int three[3] = {ends[1], ends[1], ends[1]};
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 4; i++) CHECK_EQ(send_descriptors(pair[0], "three", three, 3), 5);
    ready_and_wait();
    int flags, got[3] = {-1, -1, -1}, free = lowest_free();
    CHECK_EQ(receive_descriptors(pair[1], "three", got, 1, &flags), 1);
    CHECK_EQ(flags, MSG_CTRUNC);
    CHECK_EQ(got[0], free);
    close(got[0]);
    CHECK_EQ(lowest_free(), free);
    CHECK_EQ(receive_descriptors(pair[1], "three", nullptr, 0, &flags), 0);  // no room at all
    CHECK_EQ(flags, MSG_CTRUNC);
    CHECK_EQ(lowest_free(), free);
    char text[5];
    CHECK_EQ(recv(pair[1], text, 5, 0), 5);  // not even asked for
    CHECK_EQ(lowest_free(), free);
    CHECK_EQ(receive_descriptors(pair[1], "three", got, 3, &flags), 3);
    CHECK_EQ(flags, 0);
    for (int fd : got) close(fd);
  }
  close(ends[1]);
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 0);  // no hidden copy keeps the pipe open
  return 0;
}
