// SPDX-License-Identifier: Apache-2.0
// Handlers inside handlers: sa_mask, SA_NODEFER, SA_RESETHAND, changes of the mask and moves inside a handler.
#include <ucontext.h>

#include "tests/programs/program.h"

namespace {
char trace[100];
void note(const char* text) { strcat(trace, text); }

void second(int) {
  note("[2");
  note("2]");
}
void first(int number, siginfo_t*, void* context) {
  note("[1");
  sigset_t now;
  sigprocmask(SIG_BLOCK, nullptr, &now);
  if (sigismember(&now, number)) note("b");
  raise(SIGUSR2);  // in sa_mask: only after this handler
  ready_and_wait();
  if (sigismember(&static_cast<ucontext_t*>(context)->uc_sigmask, SIGHUP)) note("h");
  note("1]");
}
int depth = 0;
void deeper(int number) {
  note("(");
  if (++depth < 3) raise(number);
  if (depth == 3) ready_and_wait();
  depth = 10;
  note(")");
}
}  // namespace

int main() {
  struct sigaction action = {};
  action.sa_sigaction = first;
  action.sa_flags = SA_SIGINFO;
  sigaddset(&action.sa_mask, SIGUSR2);
  CHECK_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  on_signal(SIGUSR2, second);
  on_signal(SIGRTMIN, deeper, SA_NODEFER);
  on_signal(SIGTERM, second, static_cast<int>(SA_RESETHAND));
  sigset_t hup;
  sigemptyset(&hup);
  sigaddset(&hup, SIGHUP);
  CHECK_EQ(sigprocmask(SIG_SETMASK, &hup, nullptr), 0);
  CHECK_EQ(raise(SIGUSR1), 0);
  if (strcmp(trace, "[1bh1][22]") != 0) FAIL("the handlers ran as %s", trace);
  trace[0] = 0;
  CHECK_EQ(raise(SIGRTMIN), 0);
  if (strcmp(trace, "((()))") != 0) FAIL("the handlers ran as %s", trace);
  sigset_t now;
  CHECK_EQ(sigprocmask(SIG_BLOCK, nullptr, &now), 0);
  CHECK(sigismember(&now, SIGHUP) && !sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
  CHECK_EQ(raise(SIGTERM), 0);
  CHECK_EQ(sigaction(SIGTERM, nullptr, &action), 0);
  CHECK(action.sa_handler == SIG_DFL);
  return 0;
}
