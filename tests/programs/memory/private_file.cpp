// SPDX-License-Identifier: Apache-2.0
// Private mappings of a file: pages written stay private, the others show the file, beyond its end there is SIGBUS.
#include <setjmp.h>
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {
sigjmp_buf back;
void caught(int) { siglongjmp(back, 1); }
}  // namespace

int main() {
  constexpr size_t kSize = 20 * 4096 + 100, kMapped = 24 * 4096;
  static unsigned char bytes[kSize];
  fill(bytes, kSize, 8);
  int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  write_all(fd, bytes, kSize);
  auto* rw = static_cast<unsigned char*>(mmap(nullptr, kMapped, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  auto* ro = static_cast<unsigned char*>(mmap(nullptr, kMapped, PROT_READ, MAP_PRIVATE, fd, 0));
  CHECK(rw != MAP_FAILED && ro != MAP_FAILED);
  close(fd);
  rw[3 * 4096] ^= 0xff;
  on_signal(SIGBUS, caught);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK(memcmp(ro, bytes, kSize) == 0);
    CHECK_EQ(rw[3 * 4096], bytes[3 * 4096] ^ 0xff);
    CHECK(memcmp(rw + 4 * 4096, bytes + 4 * 4096, 16 * 4096) == 0);
    CHECK_EQ(ro[kSize], 0);
    if (sigsetjmp(back, 1) == 0) {
      volatile unsigned char* beyond = ro + 22 * 4096;
      (void)*beyond;
      FAIL("no SIGBUS beyond the end of the file");
    }
  }
  CHECK_EQ(unlink("mapped"), 0);
  return 0;
}
