// SPDX-License-Identifier: Apache-2.0
// Files are mapped while away: privately, with an offset, executable, and one that is unlinked at once.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kSize = 50 * 4096;
  static unsigned char bytes[kSize];
  fill(bytes, kSize, 9);
  int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  write_all(fd, bytes, kSize);
  ready_and_wait();
  void* whole = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  void* part = mmap(nullptr, 3 * 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 7 * 4096);
  CHECK(whole != MAP_FAILED && part != MAP_FAILED);
  CHECK(memcmp(whole, bytes, kSize) == 0);
  CHECK(memcmp(part, bytes + 7 * 4096, 3 * 4096) == 0);
  void* fixed = mmap(static_cast<char*>(whole) + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 30 * 4096);
  CHECK(fixed == static_cast<char*>(whole) + 4096);
  CHECK(memcmp(fixed, bytes + 30 * 4096, 4096) == 0);
  close(fd);
  CHECK_EQ(unlink("mapped"), 0);
  static_cast<unsigned char*>(whole)[0] ^= 1;
  ready_and_wait();
  CHECK_EQ(static_cast<unsigned char*>(whole)[0], bytes[0] ^ 1);
  CHECK(memcmp(fixed, bytes + 30 * 4096, 4096) == 0);
  CHECK(memcmp(part, bytes + 7 * 4096, 3 * 4096) == 0);
  CHECK_ERRNO(reinterpret_cast<long>(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, 987, 0)), EBADF);
  return 0;
}
