// SPDX-License-Identifier: Apache-2.0
// Code that the program wrote itself (as JIT compilers do) runs after moves, and can be rewritten.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  auto* code =
      static_cast<unsigned char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(code != MAP_FAILED);
  auto call = reinterpret_cast<int (*)()>(code);
  for (int value = 1; value <= 3; value++) {
    unsigned char text[6] = {0xb8, static_cast<unsigned char>(value), 0, 0, 0, 0xc3};  // mov $value, %eax; ret
    CHECK_EQ(mprotect(code, 4096, PROT_READ | PROT_WRITE), 0);
    memcpy(code, text, sizeof text);
    CHECK_EQ(mprotect(code, 4096, PROT_READ | PROT_EXEC), 0);
    CHECK_EQ(call(), value);
    ready_and_wait();
    CHECK_EQ(call(), value);
  }
  return 0;
}
