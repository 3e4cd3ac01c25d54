// SPDX-License-Identifier: Apache-2.0
// Large reads and writes in one call, odd sizes, unaligned buffers and buffers that end at an unmapped page.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kLarge = 9'000'001;
  auto* bytes = static_cast<unsigned char*>(malloc(kLarge + 1)) + 1;
  auto* back = static_cast<unsigned char*>(malloc(kLarge + 3)) + 3;
  fill(bytes, kLarge, 1);
  int fd = open("large", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  ready_and_wait();
  for (size_t size : {kLarge, 1UL << 20, 65'536UL, 65'537UL, 4095UL, 1UL}) {
    CHECK_EQ(pwrite(fd, bytes, size, 0), size);
    memset(back, 0, size);
    CHECK_EQ(pread(fd, back, size, 0), size);
    CHECK(memcmp(bytes, back, size) == 0);
  }
  CHECK_EQ(pread(fd, back, kLarge, kLarge - 10), 10);  // short at the end of the file
  CHECK_EQ(pread(fd, back, kLarge, kLarge), 0);
  // Only one page of the buffer exists: the kernel gives what fits, or EFAULT when nothing does.
  auto* edge =
      static_cast<unsigned char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK_EQ(munmap(edge + 4096, 4096), 0);
  CHECK_EQ(pread(fd, edge + 4000, 96, 100), 96);
  CHECK(memcmp(edge + 4000, bytes + 100, 96) == 0);
  CHECK_ERRNO(pread(fd, edge + 4096, 100, 0), EFAULT);
  ssize_t got = pread(fd, edge + 4000, 200, 100);
  CHECK(got == 96 || (got == -1 && errno == EFAULT));
  memset(edge, 'e', 4096);
  got = pwrite(fd, edge + 4000, 200, 0);
  CHECK(got == 96 || (got == -1 && errno == EFAULT));
  CHECK_ERRNO(open(reinterpret_cast<char*>(edge + 4096), O_RDONLY), EFAULT);
  CHECK_EQ(unlink("large"), 0);
  return 0;
}
