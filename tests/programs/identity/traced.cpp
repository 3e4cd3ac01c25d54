// SPDX-License-Identifier: Apache-2.0
// A program that is being traced stays home; its tracer sees it stop and go on.
#include <sys/ptrace.h>

#include "tests/programs/program.h"

int main() {
  pid_t pid = child([] {
    CHECK_EQ(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr), 0);
    ready_and_wait();
    raise(SIGUSR1);
    return 3;
  });
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGUSR1);
  CHECK_EQ(ptrace(PTRACE_CONT, pid, nullptr, nullptr), 0);
  EXPECT_END(pid, 3);
  return 0;
}
