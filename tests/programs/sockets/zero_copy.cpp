// SPDX-License-Identifier: Apache-2.0
// MSG_ZEROCOPY, where the kernel sends from the program's own pages until it says that it is done: what is sent is what
// stood there, whatever the program does elsewhere meanwhile. A user would see corrupted transfers.
#include <poll.h>

#include "tests/programs/network.h"
// clang-format off: needs struct timespec before it
#include <linux/errqueue.h>
// clang-format on

namespace {
constexpr size_t kSize = 8 << 20, kPart = 48 << 10;
unsigned char data[kSize], received[kSize], other[kPart];
}  // namespace

int main() {
  int pair[2], quiet[2];
  tcp_pair(pair);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, quiet), 0);
  set_option(pair[0], SOL_SOCKET, SO_ZEROCOPY, 1);
  CHECK_EQ(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
  fill(data, kSize, 12);
  size_t sent = 0;
  unsigned calls = 0, told = 0;
  for (size_t round = 1; round <= 2; round++) {
    ready_and_wait();
    // More than the receiver's window takes: the rest waits in pages.
    while (sent + kPart <= kSize / 2 * round) {
      ssize_t part = send(pair[0], data + sent, kPart, MSG_ZEROCOPY);
      if (part < 0) {
        CHECK(errno == EAGAIN || errno == ENOBUFS);
        break;
      }
      sent += static_cast<size_t>(part);
      calls++;
      // Other calls with data meanwhile.
      write_all(quiet[0], other, sizeof other);
      read_all(quiet[1], other, sizeof other);
    }
    CHECK(calls > 0);
    ready_and_wait();
    static size_t got = 0;
    while (got < sent) {
      ssize_t part = recv(pair[1], received + got, sent - got, 0);
      CHECK(part > 0);
      got += static_cast<size_t>(part);
    }
    CHECK(memcmp(received, data, sent) == 0);
    while (told < calls) {  // every call is told to be done, in ranges
      pollfd polled = {pair[0], 0, 0};
      CHECK_EQ(poll(&polled, 1, 20'000), 1);
      alignas(cmsghdr) char control[100];
      msghdr message = {};
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      CHECK_EQ(recvmsg(pair[0], &message, MSG_ERRQUEUE), 0);
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      CHECK(header && header->cmsg_type == IP_RECVERR);
      sock_extended_err error;
      memcpy(&error, CMSG_DATA(header), sizeof error);
      CHECK_EQ(error.ee_errno, 0);
      CHECK_EQ(error.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
      CHECK_EQ(error.ee_info, told);
      told = error.ee_data + 1;
    }
    CHECK_EQ(told, calls);
  }
  return 0;
}
