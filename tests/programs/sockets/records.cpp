// SPDX-License-Identifier: Apache-2.0
// SOCK_SEQPACKET keeps the borders of records, tells of cut ones, and ends with the peer. A user would see two commands
// read as one.
#include <sys/uio.h>

#include "tests/programs/network.h"

int main() {
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(send(pair[0], "one", 3, MSG_EOR), 3);
    iovec pieces[3] = {{const_cast<char*>("two "), 4}, {nullptr, 0}, {const_cast<char*>("pieces"), 6}};
    CHECK_EQ(writev(pair[0], pieces, 3), 10);
    ready_and_wait();
    CHECK_EQ(send(pair[0], "cut off", 7, 0), 7);
    char text[8] = {};
    CHECK_EQ(read(pair[1], text, 8), 3);
    CHECK(strcmp(text, "one") == 0);
    char a[3], b[20];
    iovec into[2] = {{a, 3}, {b, 20}};
    CHECK_EQ(readv(pair[1], into, 2), 10);
    CHECK(memcmp(a, "two", 3) == 0 && memcmp(b, " pieces", 7) == 0);
    iovec small = {text, 3};
    msghdr message = {};
    message.msg_iov = &small;
    message.msg_iovlen = 1;
    CHECK_EQ(recvmsg(pair[1], &message, 0), 3);
    CHECK_EQ(message.msg_flags, MSG_TRUNC);
    CHECK_ERRNO(recv(pair[1], text, 8, MSG_DONTWAIT), EAGAIN);
  }
  CHECK_EQ(send(pair[0], "last", 4, 0), 4);
  close(pair[0]);
  ready_and_wait();
  char text[8];
  CHECK_EQ(recv(pair[1], text, 8, 0), 4);
  CHECK_EQ(recv(pair[1], text, 8, 0), 0);
  CHECK_ERRNO(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
  return 0;
}
