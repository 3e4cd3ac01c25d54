// SPDX-License-Identifier: Apache-2.0
// The moved program itself ends by a wild pointer: whoever started it sees SIGSEGV, and what it had written before.
#include <sys/resource.h>

#include "tests/programs/program.h"

int main() {
  rlimit none = {};
  CHECK_EQ(setrlimit(RLIMIT_CORE, &none), 0);
  printf("written before\n");
  fflush(stdout);
  ready_and_wait();
  printf("written after\n");
  fflush(stdout);
  asm volatile("movl $1, 8");
  FAIL("still alive");
}
