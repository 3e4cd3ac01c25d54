// SPDX-License-Identifier: Apache-2.0
// While one thread waits in a read, and the program is moved, another changes the memory that it reads into: gives it
// back, maps it anew. The bytes go to what is there when they come. Untouched pages stay untouched (mincore).
#include <sys/mman.h>

#include "tests/programs/waits.h"

namespace {
constexpr size_t kPage = 4096;
}

int main() {
  int given_back[2], renewed[2];
  CHECK_EQ(pipe(given_back), 0);
  CHECK_EQ(pipe(renewed), 0);
  auto* at = static_cast<char*>(mmap(nullptr, 8 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(at != MAP_FAILED);
  memset(at, 1, 6 * kPage);  // the last two stay untouched
  pthread_t changer = thread_after_go([&] {
    unsigned char resident[8] = {};
    CHECK_EQ(mincore(at, 8 * kPage, resident), 0);
    for (int i = 0; i < 8; i++)
      if ((resident[i] & 1) != (i < 6)) FAIL("page %d is %sresident", i, i < 6 ? "not " : "");
    CHECK_EQ(madvise(at, 2 * kPage, MADV_DONTNEED), 0);
    CHECK(mmap(at + 2 * kPage, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
          at + 2 * kPage);
    write_all(given_back[1], "one", 3);
    write_all(renewed[1], "two", 3);
  });
  pthread_t other = thread([&] { CHECK_EQ(read(renewed[0], at + 3 * kPage, kPage), 3); });
  announce("blocked");
  CHECK_EQ(read(given_back[0], at + kPage, kPage), 3);
  join(other);
  join(changer);
  CHECK_EQ(memcmp(at + kPage, "one\0", 5), 0);
  CHECK_EQ(memcmp(at + 3 * kPage, "two\0", 5), 0);
  CHECK(at[0] == 0 && at[2 * kPage] == 0 && at[4 * kPage] == 1);
  return 0;
}
