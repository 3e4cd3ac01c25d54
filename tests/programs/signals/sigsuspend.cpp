// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in sigsuspend: the handler runs under the temporary mask, then the old mask is back.
#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t hits = 0, others = 0, blocked_inside = -1;
}

int main() {
  on_signal(
      SIGUSR1, +[](int) {
        hits = hits + 1;
        sigset_t now;
        sigprocmask(SIG_BLOCK, nullptr, &now);
        blocked_inside = sigismember(&now, SIGUSR2) * 10 + sigismember(&now, SIGHUP);
      });
  on_signal(
      SIGUSR2, +[](int) { others = others + 1; });
  sigset_t outside, inside, now;
  sigemptyset(&outside);
  sigaddset(&outside, SIGUSR1);
  sigaddset(&outside, SIGHUP);
  CHECK_EQ(sigprocmask(SIG_SETMASK, &outside, nullptr), 0);
  sigemptyset(&inside);
  sigaddset(&inside, SIGUSR2);
  pid_t parent = getpid();
  pid_t helper = after_go([&] {
    kill(parent, SIGUSR2);  // blocked inside: does not end it
    kill(parent, SIGUSR1);
  });
  announce("blocked");
  CHECK_ERRNO(sigsuspend(&inside), EINTR);
  CHECK_EQ(hits, 1);
  CHECK_EQ(blocked_inside, 10);
  CHECK_EQ(sigprocmask(SIG_BLOCK, nullptr, &now), 0);
  CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGHUP) && !sigismember(&now, SIGUSR2));
  CHECK_EQ(others, 1);
  EXPECT_END(helper, 0);
  return 0;
}
