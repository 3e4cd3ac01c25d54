// SPDX-License-Identifier: Apache-2.0
// Moved inside select, pselect and ppoll by number, ended by a signal: what is left of the time is written back, or
// not, as the kernel does natively. A user would see a program that counts on it wait too long.
#include <poll.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

int main() {
  on_signal(
      SIGUSR1, +[](int) {}, SA_RESTART);
  pid_t self = getpid();
  for (int way = 0; way < 3; way++) {
    pid_t helper = after_go([&] { kill(self, SIGUSR1); });
    timeval small = {1000, 0};
    timespec fine = {1000, 0};
    double start = seconds(), left = 0;
    announce("blocked");
    switch (way) {
      case 0: CHECK_ERRNO(select(0, nullptr, nullptr, nullptr, &small), EINTR); break;
      case 1: CHECK_ERRNO(syscall(SYS_pselect6, 0, nullptr, nullptr, nullptr, &fine, nullptr), EINTR); break;
      default: CHECK_ERRNO(syscall(SYS_ppoll, nullptr, 0, &fine, nullptr, 8), EINTR); break;
    }
    double took = seconds() - start;
    if (way == 0)
      left = static_cast<double>(small.tv_sec) + static_cast<double>(small.tv_usec) / 1e6;
    else
      left = static_cast<double>(fine.tv_sec) + static_cast<double>(fine.tv_nsec) / 1e9;
    if (took + left < 999.99 || took + left > 1001) FAIL("way %d: %.3f s waited, %.3f s left of 1000", way, took, left);
    EXPECT_END(helper, 0);
  }
  return 0;
}
