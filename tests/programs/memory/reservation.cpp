// SPDX-License-Identifier: Apache-2.0
// Terabytes reserved, a few pages used: the moves neither copy nor lose them.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kTebibyte = 1UL << 40, kStep = 100UL << 30;
  char* big = static_cast<char*>(
      mmap(nullptr, kTebibyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  CHECK(big != MAP_FAILED);
  char* none =
      static_cast<char*>(mmap(nullptr, kTebibyte, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  CHECK(none != MAP_FAILED);
  for (size_t at = 0; at < kTebibyte; at += kStep) fill(big + at, 5000, at + 1);
  unsigned char want[5000];
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    for (size_t at = 0; at < kTebibyte; at += kStep) {
      fill(want, sizeof want, at + 1);
      CHECK(memcmp(big + at, want, sizeof want) == 0);
      CHECK_EQ(big[at + 10'000'000], 0);
    }
    // A part of the other reservation comes to life while away.
    char* part = none + static_cast<size_t>(round) * kStep;
    CHECK_EQ(mprotect(part, 1 << 20, PROT_READ | PROT_WRITE), 0);
    fill(part, 1 << 20, 77);
    if (round == 1) CHECK_EQ(hash(none, 1 << 20), hash(part, 1 << 20));
  }
  return 0;
}
