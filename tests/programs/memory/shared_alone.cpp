// SPDX-License-Identifier: Apache-2.0
// Shared anonymous memory that nobody else uses travels: its bytes, its protections, what was unmapped, moved and given
// back while away. A child made later shares it with its parent.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kBytes = 64 * 4096;
  auto* memory =
      static_cast<unsigned char*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  CHECK(memory != MAP_FAILED);
  fill(memory, kBytes / 2, 7);
  const unsigned long before = hash(memory, kBytes);
  CHECK_EQ(mprotect(memory, 4096, PROT_READ), 0);
  ready_and_wait();
  CHECK_EQ(hash(memory, kBytes), before);
  fill(memory + 8 * 4096, 4096, 8);
  memset(memory + 9 * 4096, 0, 4096);
  CHECK_EQ(munmap(memory + 60 * 4096, 4 * 4096), 0);
  const unsigned long half = hash(memory, 32 * 4096);
  ready_and_wait();
  CHECK_EQ(hash(memory, 32 * 4096), half);
  // The second half goes elsewhere, and is still shared.
  void* place = mmap(nullptr, 28 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(place != MAP_FAILED);
  memory[32 * 4096] = 42;
  auto* other = static_cast<unsigned char*>(
      mremap(memory + 32 * 4096, 28 * 4096, 28 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place));
  CHECK(other == place);
  ready_and_wait();
  CHECK_EQ(other[0], 42);
  CHECK_EQ(hash(memory, 32 * 4096), half);
  CHECK_EQ(mprotect(memory, 4096, PROT_READ | PROT_WRITE), 0);
  pid_t pid = child([&] {
    memory[0] = 99;
    other[1] = 98;
    return 0;
  });
  EXPECT_END(pid, 0);
  CHECK_EQ(memory[0], 99);
  CHECK_EQ(other[1], 98);
  ready_and_wait();
  CHECK_EQ(memory[0], 99);
  CHECK_EQ(other[1], 98);
  return 0;
}
