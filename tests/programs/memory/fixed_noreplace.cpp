// SPDX-License-Identifier: Apache-2.0
// MAP_FIXED_NOREPLACE refuses a place that is taken and gets one that is free; MAP_FIXED replaces only its own pages.
// If it were wrong, allocators that place things themselves would overwrite memory in use.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kPage = 4096;
  constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS, kBoth = PROT_READ | PROT_WRITE;
  char* area = static_cast<char*>(mmap(nullptr, 5 * kPage, kBoth, kPrivate, -1, 0));
  CHECK(area != MAP_FAILED);
  for (size_t i = 0; i < 5; i++) memset(area + i * kPage, static_cast<int>('a' + i), kPage);
  CHECK_EQ(munmap(area + kPage, kPage), 0);
  ready_and_wait();
  auto place = [&](size_t page, size_t pages, int flags) {
    return reinterpret_cast<long>(mmap(area + page * kPage, pages * kPage, kBoth, kPrivate | flags, -1, 0));
  };
  CHECK_ERRNO(place(0, 1, MAP_FIXED_NOREPLACE), EEXIST);
  CHECK_ERRNO(place(1, 2, MAP_FIXED_NOREPLACE), EEXIST);
  CHECK_EQ(place(1, 1, MAP_FIXED_NOREPLACE), reinterpret_cast<long>(area + kPage));
  CHECK_EQ(place(3, 1, MAP_FIXED), reinterpret_cast<long>(area + 3 * kPage));
  const char want[] = {'a', 0, 'c', 0, 'e'};
  for (size_t i = 0; i < 5; i++)
    for (size_t at = 0; at < kPage; at++) CHECK_EQ(area[i * kPage + at], want[i]);
}
