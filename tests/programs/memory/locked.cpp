// SPDX-License-Identifier: Apache-2.0
// Locked memory: such a program stays home.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  static char secret[4096];
  CHECK_EQ(mlock(secret, sizeof secret), 0);
  fill(secret, sizeof secret, 3);
  unsigned long sum = hash(secret, sizeof secret);
  ready_and_wait();
  CHECK_EQ(hash(secret, sizeof secret), sum);
  CHECK_EQ(munlock(secret, sizeof secret), 0);
  return 0;
}
