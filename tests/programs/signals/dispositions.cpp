// SPDX-License-Identifier: Apache-2.0
// All 64 dispositions with their flags and masks are the same after moves, and those set while away are kept at home.
#include "tests/programs/program.h"

namespace {
void handler(int) {}

struct sigaction expected(int number, int round) {
  struct sigaction action = {};
  int kind = (number + round) % 3;
  action.sa_handler = kind == 0 ? SIG_DFL : kind == 1 ? SIG_IGN : handler;
  if (kind == 2) {
    action.sa_flags = number % 2 ? SA_RESTART : SA_NODEFER;
    sigaddset(&action.sa_mask, 40 + number % 20);
  }
  return action;
}

bool settable(int number) {
  return number != SIGKILL && number != SIGSTOP && number != 32 && number != 33 && number != SIGCHLD;
}
}  // namespace

int main() {
  for (int round = 0; round < 4; round++) {
    for (int number = 1; number < 65; number++) {
      if (!settable(number)) continue;
      struct sigaction action = expected(number, round);
      CHECK_EQ(sigaction(number, &action, nullptr), 0);
    }
    ready_and_wait();
    for (int number = 1; number < 65; number++) {
      if (!settable(number)) continue;
      struct sigaction got, want = expected(number, round);
      CHECK_EQ(sigaction(number, nullptr, &got), 0);
      CHECK(got.sa_handler == want.sa_handler);
      CHECK_EQ(got.sa_flags & (SA_RESTART | SA_NODEFER), want.sa_flags);
      for (int other = 1; other < 65; other++)
        CHECK_EQ(sigismember(&got.sa_mask, other) == 1, sigismember(&want.sa_mask, other) == 1);
    }
  }
  struct sigaction action;
  CHECK_ERRNO(sigaction(SIGKILL, &action, nullptr), EINVAL);
  return 0;
}
