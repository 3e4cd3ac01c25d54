// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in accept, recv and recvfrom, then hit by a signal: EINTR without SA_RESTART, with it the call
// goes on and gets what comes later; under a time-out EINTR in any case. A user would see a server leave its loop.
#include "tests/programs/network.h"

namespace {
volatile sig_atomic_t handled = 0;
void handler(int) { handled = handled + 1; }
}  // namespace

int main() {
  int listener = tcp_listener(), pair[2], datagrams = bound_socket(SOCK_DGRAM);
  sockaddr_in address = own_name(datagrams);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  pid_t self = getpid();
  int want = 0;
  for (int way = 0; way < 3; way++) {
    for (int flags : {0, SA_RESTART}) {
      on_signal(SIGUSR1, handler, flags);
      pid_t helper = after_go([&] {
        kill(self, SIGUSR1);
        if (flags == 0) return;
        usleep(20'000);  // likely restarted by now; if not, it finds the data at once, which is right as well
        if (way == 0) close(tcp_client(listener));
        if (way == 1) write_all(pair[1], "x", 1);
        if (way == 2) CHECK_EQ(sendto(datagrams, "x", 1, 0, as_sockaddr(address), sizeof address), 1);
      });
      char byte = 0;
      sockaddr_in from = {};
      socklen_t length = sizeof from;
      announce("blocked");
      long result = way == 0   ? accept(listener, as_sockaddr(from), &length)
                    : way == 1 ? recv(pair[0], &byte, 1, 0)
                               : recvfrom(datagrams, &byte, 1, 0, as_sockaddr(from), &length);
      if (flags == 0) {
        CHECK(result == -1 && errno == EINTR);
      } else {
        CHECK(result > 0);
        if (way == 0) close(static_cast<int>(result));
        if (way != 0) CHECK_EQ(byte, 'x');
        if (way != 1) CHECK_EQ(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
      }
      CHECK_EQ(handled, ++want);
      EXPECT_END(helper, 0);
    }
  }
  set_option(pair[0], SOL_SOCKET, SO_RCVTIMEO, timeval{1000, 0});
  pid_t helper = after_go([&] { kill(self, SIGUSR1); });
  char byte;
  announce("blocked");
  CHECK_ERRNO(recv(pair[0], &byte, 1, 0), EINTR);  // SA_RESTART or not
  EXPECT_END(helper, 0);
  return 0;
}
