// SPDX-License-Identifier: Apache-2.0
// The moved program itself ends by abort(): whoever started it sees SIGABRT, and what it had written before.
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
  abort();
  FAIL("still alive");
}
