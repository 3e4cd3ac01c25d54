// SPDX-License-Identifier: Apache-2.0
// Zero pages, pages given back with MADV_DONTNEED and pages written afterwards all read as natively.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kSize = 64 << 20, kHalf = kSize / 2;
  char* area = static_cast<char*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(area != MAP_FAILED);
  for (size_t i = 0; i < kSize; i += 4096) area[i] = static_cast<char>(i >> 12 | 1);
  CHECK_EQ(madvise(area, kHalf, MADV_DONTNEED), 0);
  area[5 * 4096 + 1] = 9;
  ready_and_wait();
  for (size_t i = 0; i < kSize; i += 4096) CHECK_EQ(area[i], i < kHalf ? 0 : static_cast<char>(i >> 12 | 1));
  CHECK_EQ(area[5 * 4096 + 1], 9);
  CHECK_EQ(madvise(area + kHalf, kHalf, MADV_DONTNEED), 0);
  ready_and_wait();
  for (size_t i = 0; i < kSize; i += 4096) CHECK_EQ(area[i], 0);
  CHECK_EQ(area[5 * 4096 + 1], 9);
  return 0;
}
