// SPDX-License-Identifier: Apache-2.0
// Moved while recv, accept and send wait under SO_RCVTIMEO and SO_SNDTIMEO: a user would see a time-out that starts
// anew with every move, or a connection given up too early.
#include "tests/programs/network.h"

namespace {
constexpr double kWait = 2.0;
const timeval kTimeout = {2, 0};

void expect_waited(double start, const char* what) {
  double took = seconds() - start;
  if (took < kWait - 0.002 || took > kWait + 1.5) FAIL("%s with a time-out of %.1f s took %.3f s", what, kWait, took);
}
void* accepting(void*) {
  int listener = tcp_listener();
  set_option(listener, SOL_SOCKET, SO_RCVTIMEO, kTimeout);
  double start = seconds();
  CHECK_ERRNO(accept(listener, nullptr, nullptr), EAGAIN);
  expect_waited(start, "accept");
  return nullptr;
}
void* sending(void*) {
  int pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  static char block[4096];
  while (send(pair[0], block, sizeof block, MSG_DONTWAIT) > 0) {
  }
  CHECK_EQ(errno, EAGAIN);
  set_option(pair[0], SOL_SOCKET, SO_SNDTIMEO, kTimeout);
  double start = seconds();
  CHECK_ERRNO(send(pair[0], block, sizeof block, 0), EAGAIN);
  expect_waited(start, "send");
  return nullptr;
}
}  // namespace

int main() {
  pthread_t threads[2];
  CHECK_EQ(pthread_create(&threads[0], nullptr, accepting, nullptr), 0);
  CHECK_EQ(pthread_create(&threads[1], nullptr, sending, nullptr), 0);
  int fd = bound_socket(SOCK_DGRAM);
  set_option(fd, SOL_SOCKET, SO_RCVTIMEO, kTimeout);
  announce("blocked", 1, 1900);
  char byte;
  double start = seconds();
  CHECK_ERRNO(recv(fd, &byte, 1, 0), EAGAIN);
  expect_waited(start, "recv");
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  return 0;
}
