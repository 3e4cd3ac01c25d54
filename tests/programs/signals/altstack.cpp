// SPDX-License-Identifier: Apache-2.0
// The alternate signal stack travels, is used, is disarmed and set anew while away; overflow of the stack is survived.
#include <setjmp.h>
#include <sys/resource.h>

#include "tests/programs/program.h"

namespace {
char stacks[2][65'536];
int current = 0;
volatile sig_atomic_t hits = 0;
sigjmp_buf back;

void on_stack(int) {
  char here;
  CHECK(&here > stacks[current] && &here < stacks[current] + sizeof stacks[current]);
  stack_t now;
  CHECK_EQ(sigaltstack(nullptr, &now), 0);
  CHECK_EQ(now.ss_flags, SS_ONSTACK);
  hits = hits + 1;
}
void on_overflow(int) {
  char here;
  CHECK(&here > stacks[current] && &here < stacks[current] + sizeof stacks[current]);
  siglongjmp(back, 1);
}
[[gnu::noipa]] int recurse(int depth) {
  volatile char frame[4000];
  frame[0] = static_cast<char>(depth);
  return depth < 1 << 30 ? recurse(depth + 1) + frame[0] : 0;  // the stack ends long before that
}
void use(int which) {
  current = which;
  stack_t stack = {};
  stack.ss_sp = stacks[which];
  stack.ss_size = sizeof stacks[which];
  CHECK_EQ(sigaltstack(&stack, nullptr), 0);
}
}  // namespace

int main() {
  rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
  on_signal(SIGUSR1, on_stack, SA_ONSTACK);
  on_signal(SIGSEGV, on_overflow, SA_ONSTACK);
  use(0);
  CHECK_EQ(raise(SIGUSR1), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    stack_t now;
    CHECK_EQ(sigaltstack(nullptr, &now), 0);
    CHECK(now.ss_sp == stacks[current] && now.ss_size == sizeof stacks[0] && now.ss_flags == 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    if (limit.rlim_cur != RLIM_INFINITY && sigsetjmp(back, 1) == 0) {
      recurse(0);
      FAIL("the stack had no end");
    }
    use(!current);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  }
  CHECK_EQ(hits, 5);
  stack_t off = {};
  off.ss_flags = SS_DISABLE;
  CHECK_EQ(sigaltstack(&off, nullptr), 0);
  return 0;
}
