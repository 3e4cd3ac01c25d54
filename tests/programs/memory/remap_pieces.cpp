// SPDX-License-Identifier: Apache-2.0
// Memory that is one mapping natively is one after moves: mremap takes all of it, whatever of it came when and where.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kPage = 4096, kPiece = 1 << 20;
  const size_t kRoom = 8 * kPiece;
  char* room = static_cast<char*>(mmap(nullptr, kRoom, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(room != MAP_FAILED);
  size_t used = 0;
  const auto add = [&](size_t bytes, bool touched) {
    CHECK(mmap(room + used, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          room + used);
    if (touched) memset(room + used, 'p', bytes);
    used += bytes;
  };
  add(kPiece, true);
  ready_and_wait();
  add(kPiece, true);
  add(4 * kPage, false);
  ready_and_wait();
  add(kPiece, false);
  char* moved = static_cast<char*>(mremap(room, used, used + kPage, MREMAP_MAYMOVE));
  if (moved == MAP_FAILED) FAIL("mremap of %zu bytes: %s", used, strerror(errno));
  CHECK_EQ(moved[kPiece + 5], 'p');
  ready_and_wait();
  CHECK(mremap(moved, used + kPage, used + 2 * kPage, MREMAP_MAYMOVE) != MAP_FAILED);
  // The heap grows into what malloc already has.
  char* start = static_cast<char*>(sbrk(0));
  CHECK(sbrk(64 * kPage) != reinterpret_cast<void*>(-1L));
  memset(start, 'h', 64 * kPage);
  ready_and_wait();
  CHECK(sbrk(64 * kPage) != reinterpret_cast<void*>(-1L));
  CHECK_EQ(start[63 * kPage], 'h');
  return 0;
}
