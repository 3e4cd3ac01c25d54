// SPDX-License-Identifier: Apache-2.0
// sendmsg and recvmsg with as many pieces as Linux allows, empty ones among them, each byte in its place; one more is
// refused. A user would see a database's pages mixed up.
#include <limits.h>

#include "tests/programs/network.h"

namespace {
constexpr size_t kMost = IOV_MAX;
unsigned char data[kMost * 130], received[sizeof data];
iovec pieces[kMost + 1];

// Piece i has i * 7 % 130 bytes, every tenth none.
size_t split(unsigned char* memory) {
  size_t total = 0;
  for (size_t i = 0; i < kMost; i++) {
    pieces[i] = {memory + total, i % 10 == 0 ? 0 : i * 7 % 130};
    total += pieces[i].iov_len;
  }
  return total;
}
}  // namespace

int main() {
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
  fill(data, sizeof data, 4);
  set_option(pair[0], SOL_SOCKET, SO_SNDBUF, 400'000);
  for (int round = 0; round < 2; round++) {
    msghdr message = {};
    message.msg_iov = pieces;
    message.msg_iovlen = kMost;
    size_t total = split(data);
    CHECK_EQ(sendmsg(pair[0], &message, 0), total);
    ready_and_wait();
    CHECK_EQ(sendmsg(pair[0], &message, 0), total);
    for (int i = 0; i < 2; i++) {
      memset(received, 0, sizeof received);
      split(received);
      CHECK_EQ(recvmsg(pair[1], &message, 0), total);
      CHECK(memcmp(received, data, total) == 0);
    }
    message.msg_iovlen = kMost + 1;
    CHECK_ERRNO(sendmsg(pair[0], &message, 0), EMSGSIZE);
    CHECK_ERRNO(recvmsg(pair[1], &message, MSG_DONTWAIT), EMSGSIZE);
    message.msg_iovlen = 2;
    pieces[0] = {data, 3};
    pieces[1] = {reinterpret_cast<void*>(16), 3};
    CHECK_ERRNO(sendmsg(pair[0], &message, 0), EFAULT);
    CHECK_ERRNO(sendmsg(pair[0], reinterpret_cast<msghdr*>(16), 0), EFAULT);
    CHECK_ERRNO(recv(pair[1], data, 1, MSG_DONTWAIT), EAGAIN);  // nothing of it was sent
  }
  return 0;
}
