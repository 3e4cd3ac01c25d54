// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in pause, which ends only with a handled signal; an ignored one does not end it.
#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t hits = 0;
}

int main() {
  on_signal(
      SIGUSR1, +[](int) { hits = hits + 1; }, SA_RESTART);  // SA_RESTART does not matter to pause
  signal(SIGUSR2, SIG_IGN);
  pid_t parent = getpid();
  pid_t helper = after_go([&] {
    kill(parent, SIGUSR2);
    kill(parent, SIGWINCH);
    usleep(100'000);
    kill(parent, SIGUSR1);
  });
  announce("blocked");
  CHECK_ERRNO(pause(), EINTR);
  CHECK_EQ(hits, 1);
  EXPECT_END(helper, 0);
  return 0;
}
