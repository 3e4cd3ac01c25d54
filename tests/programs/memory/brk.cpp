// SPDX-License-Identifier: Apache-2.0
// The program break stays where it was, grows and shrinks after the moves, and its pages keep their bytes.
#include "tests/programs/program.h"

int main() {
  constexpr long kSize = 3 << 20;
  char* start = static_cast<char*>(sbrk(0));
  CHECK(sbrk(kSize) == start);
  fill(start, kSize, 1);
  unsigned long sum = hash(start, kSize);
  ready_and_wait();
  CHECK(sbrk(0) == start + kSize);
  CHECK_EQ(hash(start, kSize), sum);
  CHECK(sbrk(kSize) == start + kSize);
  for (long i = 0; i < kSize; i++) CHECK_EQ(start[kSize + i], 0);
  fill(start + kSize, kSize, 2);
  ready_and_wait();
  CHECK_EQ(hash(start, kSize), sum);
  CHECK(sbrk(-2 * kSize) == start + 2 * kSize);
  CHECK(sbrk(0) == start);
  CHECK(sbrk(kSize) == start);
  for (long i = 0; i < kSize; i++) CHECK_EQ(start[i], 0);
  return 0;
}
