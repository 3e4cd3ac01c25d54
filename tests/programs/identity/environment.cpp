// SPDX-License-Identifier: Apache-2.0
// The environment can be changed while away, and children and shells see the change.
#include "tests/programs/program.h"

int main() {
  CHECK_EQ(setenv("OMIG_TEST_A", "before", 1), 0);
  ready_and_wait();
  CHECK(strcmp(getenv("OMIG_TEST_A"), "before") == 0);
  CHECK_EQ(setenv("OMIG_TEST_A", "away", 1), 0);
  CHECK_EQ(unsetenv("TZ"), 0);
  CHECK_EQ(WEXITSTATUS(system("[ \"$OMIG_TEST_A\" = away ] && [ -z \"$TZ\" ] && exit 6")), 6);
  ready_and_wait();
  CHECK(strcmp(getenv("OMIG_TEST_A"), "away") == 0);
  CHECK_EQ(WEXITSTATUS(system("exit ${#OMIG_TEST_A}")), 4);
  return 0;
}
