// SPDX-License-Identifier: Apache-2.0
// Datagrams with their addresses: sendto, recvfrom, connected sends, sendmmsg, recvmmsg, truncation, time-outs.
#include <arpa/inet.h>
#include <sys/socket.h>

#include "tests/programs/program.h"

namespace {
int bound(sockaddr_in& address) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(fd >= 0);
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t length = sizeof address;
  CHECK_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
  return fd;
}
}  // namespace

int main() {
  sockaddr_in a_address, b_address, from;
  int a = bound(a_address), b = bound(b_address);
  auto* to_b = reinterpret_cast<sockaddr*>(&b_address);
  char text[2000];
  for (int round = 0; round < 3; round++) {
    CHECK_EQ(sendto(a, "first", 5, 0, to_b, sizeof b_address), 5);
    CHECK_EQ(sendto(a, "", 0, 0, to_b, sizeof b_address), 0);
    if (round < 2) ready_and_wait();
    // Dissolving an association, below, may give the socket another port.
    socklen_t length = sizeof a_address;
    CHECK_EQ(getsockname(a, reinterpret_cast<sockaddr*>(&a_address), &length), 0);
    length = sizeof from;
    CHECK_EQ(recvfrom(b, text, sizeof text, 0, reinterpret_cast<sockaddr*>(&from), &length), 5);
    CHECK_EQ(memcmp(text, "first", 5), 0);
    CHECK_EQ(from.sin_port, a_address.sin_port);
    CHECK_EQ(length, sizeof from);
    CHECK_EQ(recv(b, text, sizeof text, 0), 0);
    CHECK_ERRNO(recv(b, text, sizeof text, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(connect(a, to_b, sizeof b_address), 0);
    iovec pieces[2] = {{const_cast<char*>("two "), 4}, {const_cast<char*>("pieces"), 6}};
    mmsghdr messages[2] = {};
    messages[0].msg_hdr.msg_iov = pieces;
    messages[0].msg_hdr.msg_iovlen = 2;
    messages[1].msg_hdr.msg_iov = pieces + 1;
    messages[1].msg_hdr.msg_iovlen = 1;
    CHECK_EQ(sendmmsg(a, messages, 2, 0), 2);
    char parts[2][4];
    iovec into[2] = {{parts[0], 4}, {parts[1], 4}};
    mmsghdr received[2] = {};
    for (int i = 0; i < 2; i++) {
      received[i].msg_hdr.msg_iov = into + i;
      received[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(recvmmsg(b, received, 2, 0, nullptr), 2);
    CHECK(received[0].msg_len == 4 && (received[0].msg_hdr.msg_flags & MSG_TRUNC));
    CHECK(memcmp(parts[0], "two ", 4) == 0 && memcmp(parts[1], "piec", 4) == 0);
    sockaddr none = {};
    none.sa_family = AF_UNSPEC;
    CHECK_EQ(connect(a, &none, sizeof none), 0);
    timeval wait = {0, 50'000};
    CHECK_EQ(setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    CHECK_ERRNO(recv(b, text, sizeof text, 0), EAGAIN);
    wait = {};
    length = sizeof wait;
    CHECK_EQ(getsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &wait, &length), 0);
    CHECK(wait.tv_usec >= 50'000 && wait.tv_usec < 60'000);
  }
  return 0;
}
