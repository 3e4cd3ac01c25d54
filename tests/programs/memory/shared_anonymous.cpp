// SPDX-License-Identifier: Apache-2.0
// Anonymous memory shared with a child: such a program stays home (the table says so), and works.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  auto* shared =
      static_cast<std::atomic<int>*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  CHECK(shared != MAP_FAILED);
  int over[2];
  CHECK_EQ(pipe(over), 0);
  pid_t pid = child([&] {
    close(over[1]);
    char byte;
    for (int i = 0; i < 1000; i++) shared->fetch_add(1);
    return read(over[0], &byte, 1) == 0 ? 0 : 1;
  });
  ready_and_wait();
  for (int i = 0; i < 1000; i++) shared->fetch_add(1);
  CHECK_EQ(close(over[1]), 0);
  EXPECT_END(pid, 0);
  CHECK_EQ(shared->load(), 2000);
  return 0;
}
