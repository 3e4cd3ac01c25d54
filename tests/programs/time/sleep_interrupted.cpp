// SPDX-License-Identifier: Apache-2.0
// A handler interrupts a sleep after moves: EINTR, and the remaining time is right.
#include "tests/programs/program.h"

int main() {
  on_signal(
      SIGUSR1, +[](int) {}, SA_RESTART);
  pid_t parent = getpid();
  pid_t helper = after_go([&] { kill(parent, SIGUSR1); });
  announce("blocked");
  double start = seconds();
  timespec wanted = {50, 0}, left = {};
  CHECK_ERRNO(nanosleep(&wanted, &left), EINTR);
  double took = seconds() - start, rest = static_cast<double>(left.tv_sec) + static_cast<double>(left.tv_nsec) / 1e9;
  if (took + rest < 49.9 || took + rest > 50.5) FAIL("%.3f s slept, %.3f s left of 50", took, rest);
  EXPECT_END(helper, 0);
  return 0;
}
