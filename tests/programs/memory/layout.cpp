// SPDX-License-Identifier: Apache-2.0
// Mappings made, remapped, protected and unmapped before, between and after moves: /proc/self/maps says the same
// addresses and rights as the program believes in, and the contents are right.
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {

constexpr size_t kPage = 4096;

// The rights of the page at `address` as /proc/self/maps tells them, or "none".
void rights_at(const void* address, char (&rights)[5]) {
  static char maps[1 << 18];
  slurp("/proc/self/maps", maps);
  strcpy(rights, "none");
  for (char* line = maps; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : nullptr) {
    unsigned long from, to;
    char found[5];
    if (sscanf(line, "%lx-%lx %4s", &from, &to, found) != 3) FAIL("a strange line in maps: %.60s", line);
    unsigned long a = reinterpret_cast<unsigned long>(address);
    if (from <= a && a < to) strcpy(rights, found);
  }
}

#define EXPECT_RIGHTS(address, want)                                                           \
  do {                                                                                         \
    char rights_[5];                                                                           \
    rights_at(address, rights_);                                                               \
    if (strcmp(rights_, want) != 0) FAIL("%s has rights %s, not %s", #address, rights_, want); \
  } while (0)

}  // namespace

int main() {
  auto map = [](size_t pages, int rights) {
    void* p = mmap(nullptr, pages * kPage, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return static_cast<char*>(p);
  };
  char* area = map(64, PROT_READ | PROT_WRITE);
  fill(area, 64 * kPage, 3);
  unsigned long sum = hash(area, 16 * kPage);
  CHECK_EQ(munmap(area + 32 * kPage, 8 * kPage), 0);
  CHECK_EQ(mprotect(area + 16 * kPage, 8 * kPage, PROT_READ), 0);
  CHECK_EQ(mprotect(area + 48 * kPage, 4 * kPage, PROT_NONE), 0);
  char* moving = map(4, PROT_READ | PROT_WRITE);
  fill(moving, 4 * kPage, 4);
  unsigned long moving_sum = hash(moving, 4 * kPage);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    EXPECT_RIGHTS(area, "rw-p");
    EXPECT_RIGHTS(area + 16 * kPage, round == 0 ? "r--p" : "rw-p");
    EXPECT_RIGHTS(area + 32 * kPage, "none");
    EXPECT_RIGHTS(area + 48 * kPage, round == 0 ? "---p" : "r--p");
    CHECK_EQ(hash(area, 16 * kPage), sum);
    CHECK_EQ(hash(moving, 4 * kPage), moving_sum);
    // Changes while away, which the next moves must carry.
    CHECK_EQ(mprotect(area + 16 * kPage, 8 * kPage, PROT_READ | PROT_WRITE), 0);
    CHECK_EQ(mprotect(area + 48 * kPage, 4 * kPage, PROT_READ), 0);
    void* grown = mremap(moving, 4 * kPage, 400 * kPage, MREMAP_MAYMOVE);
    CHECK(grown != MAP_FAILED);
    moving = static_cast<char*>(grown);
    CHECK_EQ(hash(moving, 4 * kPage), moving_sum);
    for (size_t i = 4 * kPage; i < 400 * kPage; i++) CHECK_EQ(moving[i], 0);
    CHECK(mremap(moving, 400 * kPage, 4 * kPage, 0) == moving);
    EXPECT_RIGHTS(moving + 4 * kPage, "none");
    char* extra = map(3, PROT_READ | PROT_EXEC);
    EXPECT_RIGHTS(extra, "r-xp");
    CHECK_EQ(munmap(extra, 3 * kPage), 0);
    EXPECT_RIGHTS(extra, "none");
  }
  fill(moving, 4 * kPage, 5);
  return 0;
}
