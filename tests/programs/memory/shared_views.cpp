// SPDX-License-Identifier: Apache-2.0
// Two views of one memfd, one of them read-only, as programs that generate code have them: what is written by one is
// read by the other, wherever the program is. The descriptor, still open, shows the same bytes.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kBytes = 16 * 4096;
  const int fd = memfd_create("views", MFD_CLOEXEC);
  CHECK(fd >= 0);
  CHECK_EQ(ftruncate(fd, kBytes), 0);
  auto* written = static_cast<unsigned char*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  auto* seen = static_cast<const unsigned char*>(mmap(nullptr, kBytes / 2, PROT_READ, MAP_SHARED, fd, kBytes / 2));
  auto* own = static_cast<unsigned char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  CHECK(written != MAP_FAILED && seen != MAP_FAILED && own != MAP_FAILED);
  own[0] = 200;
  for (int round = 1; round <= 3; round++) {
    ready_and_wait();
    written[kBytes / 2 + 5] = static_cast<unsigned char>(round);
    written[0] = static_cast<unsigned char>(round);
    CHECK_EQ(seen[5], round);
    CHECK_EQ(own[0], 200);
    ready_and_wait();
    CHECK_EQ(seen[5], round);
    CHECK_EQ(written[0], round);
    unsigned char byte = 0;
    CHECK_EQ(pread(fd, &byte, 1, kBytes / 2 + 5), 1);
    CHECK_EQ(byte, round);
    byte = static_cast<unsigned char>(100 + round);
    CHECK_EQ(pwrite(fd, &byte, 1, kBytes / 2 + 6), 1);
    CHECK_EQ(seen[6], 100 + round);
  }
  return 0;
}
