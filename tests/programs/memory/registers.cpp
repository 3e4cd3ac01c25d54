// SPDX-License-Identifier: Apache-2.0
// All general registers keep their values while the process computes without a single syscall and is moved.
#include "tests/programs/program.h"

namespace {

// Loads a pattern into every register that is free, spins until *flag, and stores them again.
void hold_registers(const std::atomic<int>* flag, unsigned long out[13]) {
  asm volatile(
      "push %%rbp\n push %%rbx\n push %1\n"
      "mov %0, %%rax\n"
      "mov $0x1111111111111111, %%rbx\n mov $0x2222222222222222, %%rcx\n mov $0x3333333333333333, %%rdx\n"
      "mov $0x4444444444444444, %%rsi\n mov $0x5555555555555555, %%rbp\n mov $0x6666666666666666, %%r8\n"
      "mov $0x7777777777777777, %%r9\n mov $0x8888888888888888, %%r10\n mov $0x9999999999999999, %%r11\n"
      "mov $0xaaaaaaaaaaaaaaaa, %%r12\n mov $0xbbbbbbbbbbbbbbbb, %%r13\n mov $0xcccccccccccccccc, %%r14\n"
      "mov $0xdddddddddddddddd, %%r15\n"
      "1: cmpl $0, (%%rax)\n je 1b\n"
      "mov (%%rsp), %%rdi\n"
      "mov %%rbx, 0(%%rdi)\n mov %%rcx, 8(%%rdi)\n mov %%rdx, 16(%%rdi)\n mov %%rsi, 24(%%rdi)\n"
      "mov %%rbp, 32(%%rdi)\n mov %%r8, 40(%%rdi)\n mov %%r9, 48(%%rdi)\n mov %%r10, 56(%%rdi)\n"
      "mov %%r11, 64(%%rdi)\n mov %%r12, 72(%%rdi)\n mov %%r13, 80(%%rdi)\n mov %%r14, 88(%%rdi)\n"
      "mov %%r15, 96(%%rdi)\n"
      "pop %%rdi\n pop %%rbx\n pop %%rbp\n"
      :
      : "a"(flag), "D"(out)
      : "memory", "cc", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15");
}

}  // namespace

int main() {
  unsigned long out[13] = {};
  GoFlag go;
  hold_registers(go.address(), out);
  for (unsigned long i = 0; i < 13; i++) CHECK_EQ(out[i], (i + 1) * 0x1111111111111111UL);
  return 0;
}
