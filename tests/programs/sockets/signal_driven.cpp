// SPDX-License-Identifier: Apache-2.0
// Signal-driven input: with O_ASYNC and F_SETSIG every arrival sends a queued signal that names the descriptor and what
// happened. A user would see a server of that kind fall asleep after a move.
#include <poll.h>

#include "tests/programs/network.h"

int main() {
  int fd = bound_socket(SOCK_DGRAM), sender = bound_socket(SOCK_DGRAM), number = SIGRTMIN + 3;
  sockaddr_in address = own_name(fd);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, number);
  sigaddset(&mask, SIGIO);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &mask, nullptr), 0);
  CHECK_EQ(fcntl(fd, F_SETOWN, getpid()), 0);
  CHECK_EQ(fcntl(fd, F_SETSIG, number), 0);
  CHECK_EQ(fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK), 0);
  timespec enough = {20, 0}, none = {0, 0};
  for (int round = 0; round < 2; round++) {
    siginfo_t info = {};
    for (int i = 0; i < 2; i++) CHECK_EQ(sendto(sender, "x", 1, 0, as_sockaddr(address), sizeof address), 1);
    ready_and_wait();
    CHECK_EQ(sendto(sender, "x", 1, 0, as_sockaddr(address), sizeof address), 1);
    for (int i = 0; i < 3; i++) {  // a real-time signal: one for each
      CHECK_EQ(sigtimedwait(&mask, &info, &enough), number);
      CHECK_EQ(info.si_code, POLL_IN);
      CHECK_EQ(info.si_fd, fd);
      CHECK_EQ(info.si_band & (POLLIN | POLLRDNORM), POLLIN | POLLRDNORM);
    }
    char byte;
    for (int i = 0; i < 3; i++) CHECK_EQ(recv(fd, &byte, 1, 0), 1);
    CHECK_ERRNO(recv(fd, &byte, 1, 0), EAGAIN);
    while (sigtimedwait(&mask, &info, &none) == number) CHECK(info.si_code != POLL_IN);
  }
  CHECK_EQ(fcntl(fd, F_GETSIG), number);
  CHECK_EQ(fcntl(fd, F_GETFL) & (O_ASYNC | O_NONBLOCK), O_ASYNC | O_NONBLOCK);
  CHECK_EQ(fcntl(fd, F_SETSIG, 0), 0);
  ready_and_wait();
  CHECK_EQ(sendto(sender, "x", 1, 0, as_sockaddr(address), sizeof address), 1);
  siginfo_t info = {};
  CHECK_EQ(sigtimedwait(&mask, &info, &enough), SIGIO);  // without a number of its own: plain SIGIO
  return 0;
}
