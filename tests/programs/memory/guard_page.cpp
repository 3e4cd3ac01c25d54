// SPDX-License-Identifier: Apache-2.0
// A guard page keeps guarding: touching it raises SIGSEGV with the right address, and the handler recovers.
#include <setjmp.h>
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {

sigjmp_buf back;
siginfo_t last;

void caught(int, siginfo_t* info, void*) {
  last = *info;
  siglongjmp(back, 1);
}

void expect_fault(volatile char* address, int code) {
  last = {};
  if (sigsetjmp(back, 1) == 0) {
    *address = 1;
    FAIL("no fault at %p", const_cast<char*>(address));
  }
  CHECK_EQ(last.si_signo, SIGSEGV);
  CHECK(last.si_addr == address);
  CHECK_EQ(last.si_code, code);
}

}  // namespace

int main() {
  on_signal(SIGSEGV, caught);
  char* area = static_cast<char*>(mmap(nullptr, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(area != MAP_FAILED);
  fill(area, 3 * 4096, 6);
  CHECK_EQ(mprotect(area + 4096, 4096, PROT_NONE), 0);
  unsigned long sum = hash(area, 4096);
  for (int round = 0; round < 2; round++) {
    expect_fault(area + 4096, SEGV_ACCERR);
    expect_fault(area + 4096 + 4095, SEGV_ACCERR);
    expect_fault(reinterpret_cast<char*>(64), SEGV_MAPERR);
    CHECK_EQ(hash(area, 4096), sum);
    if (round == 0) ready_and_wait();
  }
  // What was behind the guard is still there.
  unsigned char want[3 * 4096];
  fill(want, sizeof want, 6);
  CHECK_EQ(mprotect(area + 4096, 4096, PROT_READ), 0);
  CHECK(memcmp(area, want, sizeof want) == 0);
  return 0;
}
