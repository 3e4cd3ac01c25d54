// SPDX-License-Identifier: Apache-2.0
// Shared memory asked for while away: the program comes home for it instead of failing, and works there.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  ready_and_wait();
  auto* shared =
      static_cast<std::atomic<int>*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  CHECK(shared != MAP_FAILED);
  pid_t pid = child([&] {
    shared->store(42);
    return 0;
  });
  EXPECT_END(pid, 0);
  CHECK_EQ(shared->load(), 42);
  CHECK_EQ(munmap(shared, 4096), 0);
  ready_and_wait();  // nothing shared is left: it may leave again
  return 0;
}
