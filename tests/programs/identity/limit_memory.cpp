// SPDX-License-Identifier: Apache-2.0
// RLIMIT_AS and RLIMIT_DATA hold away as at home: what is below them is given, what is beyond is ENOMEM. A user would
// see a job killed that stays below its `ulimit -v`, or one that takes a whole machine.
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/programs/program.h"

namespace {
void* take(size_t bytes, int protection = PROT_READ | PROT_WRITE) {
  return mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
}  // namespace

int main() {
  constexpr size_t kMiB = 1 << 20;
  rlimit limit = {512 * kMiB, RLIM_INFINITY};
  CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    void* some = take(300 * kMiB);
    CHECK(some != MAP_FAILED);
    errno = 0;
    CHECK(take(300 * kMiB) == MAP_FAILED && errno == ENOMEM);
    errno = 0;
    CHECK(malloc(400 * kMiB) == nullptr && errno == ENOMEM);
    CHECK_EQ(munmap(some, 300 * kMiB), 0);
    some = take(400 * kMiB);
    CHECK(some != MAP_FAILED);
    CHECK_EQ(munmap(some, 400 * kMiB), 0);
  }
  limit = {64 * kMiB, RLIM_INFINITY};
  CHECK_EQ(setrlimit(RLIMIT_DATA, &limit), 0);
  ready_and_wait();
  errno = 0;
  CHECK(take(80 * kMiB) == MAP_FAILED && errno == ENOMEM);
  void* reserved = take(80 * kMiB, PROT_NONE);  // not data
  CHECK(reserved != MAP_FAILED);
  CHECK_ERRNO(mprotect(reserved, 80 * kMiB, PROT_READ | PROT_WRITE), ENOMEM);
  CHECK(take(20 * kMiB) != MAP_FAILED);
  return 0;
}
