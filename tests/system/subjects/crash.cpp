// SPDX-License-Identifier: Apache-2.0
// A program that dies with a core: crash HOW, where HOW is segv, abort, blocked (SIGSEGV is blocked when it happens) or
// handler (in a handler on an alternate stack). A few frames deep, so that there is a stack to be seen in the core.
#include <signal.h>
#include <sys/resource.h>

#include "tests/programs/program.h"

namespace {

const char* how;
volatile unsigned long marker = 0;

void die() {
  if (strcmp(how, "abort") == 0) abort();
  volatile int* nowhere = nullptr;
  *nowhere = 1;
}

[[gnu::noinline]] int depth(int n) {
  marker = 0x6f6d6967;
  if (n == 0) {
    die();
    return 0;
  }
  return depth(n - 1) + static_cast<int>(marker & 1);
}

void handle(int) { depth(3); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) FAIL("usage: crash HOW");
  how = argv[1];
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  CHECK_EQ(setrlimit(RLIMIT_CORE, &unlimited), 0);
  ready_and_wait();
  if (strcmp(how, "blocked") == 0) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, nullptr), 0);
  }
  if (strcmp(how, "handler") == 0) {
    on_signal(SIGUSR1, handle);
    raise(SIGUSR1);
  }
  return depth(5);
}
