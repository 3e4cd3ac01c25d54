// SPDX-License-Identifier: Apache-2.0
// Vector registers (as wide as the CPU has them), mask registers, MXCSR and the x87 control word survive moves.
#include <immintrin.h>

#include "tests/programs/program.h"

namespace {

[[gnu::target("avx512f")]] bool hold_zmm(const GoFlag& go, const unsigned char in[1024], unsigned char out[1024]) {
  const std::atomic<int>* flag = go.address();
  unsigned mask = 0;
  asm volatile(
      "vmovdqu64 0(%1), %%zmm0\n vmovdqu64 64(%1), %%zmm1\n vmovdqu64 128(%1), %%zmm7\n vmovdqu64 192(%1), %%zmm15\n"
      "vmovdqu64 256(%1), %%zmm16\n vmovdqu64 320(%1), %%zmm23\n vmovdqu64 384(%1), %%zmm30\n vmovdqu64 448(%1), "
      "%%zmm31\n"
      "mov $0xa5c3, %%eax\n kmovw %%eax, %%k3\n"
      "1: cmpl $0, (%2)\n je 1b\n"
      "vmovdqu64 %%zmm0, 0(%3)\n vmovdqu64 %%zmm1, 64(%3)\n vmovdqu64 %%zmm7, 128(%3)\n vmovdqu64 %%zmm15, 192(%3)\n"
      "vmovdqu64 %%zmm16, 256(%3)\n vmovdqu64 %%zmm23, 320(%3)\n vmovdqu64 %%zmm30, 384(%3)\n vmovdqu64 %%zmm31, "
      "448(%3)\n"
      "kmovw %%k3, %%eax\n mov %%eax, %0\n"
      : "=m"(mask)
      : "r"(in), "r"(flag), "r"(out)
      : "memory", "cc", "rax", "xmm0", "xmm1", "xmm7", "xmm15", "xmm16", "xmm23", "xmm30", "xmm31", "k3");
  return mask == 0xa5c3 && memcmp(in, out, 512) == 0;
}

[[gnu::target("avx")]] bool hold_ymm(const GoFlag& go, const unsigned char in[1024], unsigned char out[1024]) {
  asm volatile(
      "vmovdqu 0(%0), %%ymm0\n vmovdqu 32(%0), %%ymm5\n vmovdqu 64(%0), %%ymm10\n vmovdqu 96(%0), %%ymm15\n"
      "1: cmpl $0, (%1)\n je 1b\n"
      "vmovdqu %%ymm0, 0(%2)\n vmovdqu %%ymm5, 32(%2)\n vmovdqu %%ymm10, 64(%2)\n vmovdqu %%ymm15, 96(%2)\n"
      :
      : "r"(in), "r"(go.address()), "r"(out)
      : "memory", "cc", "xmm0", "xmm5", "xmm10", "xmm15");
  return memcmp(in, out, 128) == 0;
}

bool hold_xmm(const GoFlag& go, const unsigned char in[1024], unsigned char out[1024]) {
  asm volatile(
      "movdqu 0(%0), %%xmm0\n movdqu 16(%0), %%xmm8\n movdqu 32(%0), %%xmm15\n"
      "1: cmpl $0, (%1)\n je 1b\n"
      "movdqu %%xmm0, 0(%2)\n movdqu %%xmm8, 16(%2)\n movdqu %%xmm15, 32(%2)\n"
      :
      : "r"(in), "r"(go.address()), "r"(out)
      : "memory", "cc", "xmm0", "xmm8", "xmm15");
  return memcmp(in, out, 48) == 0;
}

}  // namespace

int main() {
  unsigned char in[1024], out[1024] = {};
  fill(in, sizeof in, 42);
  // Rounding towards zero in both units, and one exception flag raised: none of them is the default.
  unsigned control = (_mm_getcsr() & ~0x6000u) | 0x6000u | 0x20u;
  _mm_setcsr(control);
  unsigned short x87 = 0x0f7f, x87_after = 0;
  asm volatile("fldcw %0" : : "m"(x87));
  bool right;
  {
    GoFlag go;
    if (__builtin_cpu_supports("avx512f"))
      right = hold_zmm(go, in, out);
    else if (__builtin_cpu_supports("avx"))
      right = hold_ymm(go, in, out);
    else
      right = hold_xmm(go, in, out);
  }
  CHECK(right);
  CHECK_EQ(_mm_getcsr(), control);
  asm volatile("fnstcw %0" : "=m"(x87_after));
  CHECK_EQ(x87_after, x87);
  return 0;
}
