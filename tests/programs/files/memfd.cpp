// SPDX-License-Identifier: Apache-2.0
// memfd_create, seals, and a private mapping of it made while away.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  int fd = memfd_create("omig test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(fd >= 0);
  write_all(fd, "in memory", 9);
  ready_and_wait();
  char text[10] = {};
  CHECK_EQ(pread(fd, text, 9, 0), 9);
  CHECK(strcmp(text, "in memory") == 0);
  auto* mapped = static_cast<char*>(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, fd, 0));
  CHECK(mapped != MAP_FAILED);
  CHECK(memcmp(mapped, "in memory", 9) == 0);
  CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
  CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_GROW);
  CHECK_ERRNO(pwrite(fd, "x", 1, 10'000), EPERM);
  int second = memfd_create("made away", 0);
  CHECK(second >= 0);
  CHECK_EQ(ftruncate(second, 100), 0);
  CHECK_EQ(lseek(second, 0, SEEK_END), 100);
  return 0;
}
