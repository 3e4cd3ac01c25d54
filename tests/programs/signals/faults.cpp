// SPDX-License-Identifier: Apache-2.0
// Faults are handled as natively: SIGSEGV, SIGFPE, SIGILL, SIGTRAP with their codes and addresses; the handler repairs
// the context and the program goes on.
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/programs/program.h"

namespace {
siginfo_t last;
char* page;
long skip = 0;

void repair(int, siginfo_t* info, void* context) {
  last = *info;
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += skip;
  if (info->si_signo == SIGSEGV) mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

void run() {
  skip = 0;
  CHECK_EQ(mprotect(page, 4096, PROT_READ), 0);
  *static_cast<volatile char*>(page + 100) =
      7;  // faults, the handler makes it writable, the same instruction runs again
  asm volatile("" ::: "memory");
  CHECK_EQ(page[100], 7);
  CHECK(last.si_signo == SIGSEGV && last.si_code == SEGV_ACCERR && last.si_addr == page + 100);
  skip = 2;
  asm volatile("xor %%edx, %%edx\n xor %%ecx, %%ecx\n mov $1, %%eax\n div %%ecx" ::
                   : "eax", "ecx", "edx", "cc", "memory");
  CHECK(last.si_signo == SIGFPE && last.si_code == FPE_INTDIV);
  asm volatile("ud2" ::: "memory");
  CHECK(last.si_signo == SIGILL && last.si_code == ILL_ILLOPN);
  skip = 0;
  asm volatile("int3" ::: "memory");
  CHECK_EQ(last.si_signo, SIGTRAP);
  CHECK_EQ(last.si_code, SI_KERNEL);
}
}  // namespace

int main() {
  page = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(page != MAP_FAILED);
  for (int number : {SIGSEGV, SIGFPE, SIGILL, SIGTRAP}) on_signal(number, repair);
  run();
  ready_and_wait();
  run();
  ready_and_wait();
  run();
  return 0;
}
