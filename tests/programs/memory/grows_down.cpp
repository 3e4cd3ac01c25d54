// SPDX-License-Identifier: Apache-2.0
// A mapping of its own that grows downwards like a stack: it still grows after moves, and keeps what was grown away.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kPage = 4096, kRoom = 1024 * kPage;
  char* room = static_cast<char*>(mmap(nullptr, kRoom, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(room != MAP_FAILED);
  CHECK_EQ(munmap(room, kRoom), 0);
  char* top = room + kRoom - 4 * kPage;
  CHECK(mmap(top, 4 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0) ==
        top);
  top[0] = 'a';
  for (int pages = 1; pages < 20; pages += 3) {
    ready_and_wait();
    for (int i = pages; i < pages + 3; i++) top[-i * static_cast<long>(kPage)] = static_cast<char>('a' + i);
  }
  ready_and_wait();
  for (int i = 1; i < 20; i++) CHECK_EQ(top[-i * static_cast<long>(kPage)], 'a' + i);
  CHECK_EQ(top[0], 'a');
  return 0;
}
