// SPDX-License-Identifier: Apache-2.0
// Anonymous memory shared with a child: such a program stays home (the table says so), and works.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  auto* shared =
      static_cast<std::atomic<int>*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  CHECK(shared != MAP_FAILED);
  pid_t pid = child([&] {
    for (int i = 0; i < 1000; i++) shared->fetch_add(1);
    return 0;
  });
  ready_and_wait();
  for (int i = 0; i < 1000; i++) shared->fetch_add(1);
  EXPECT_END(pid, 0);
  CHECK_EQ(shared->load(), 2000);
  return 0;
}
