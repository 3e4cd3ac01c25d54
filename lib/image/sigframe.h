// SPDX-License-Identifier: Apache-2.0
// The signal frame by which a thread's registers are put back: rt_sigreturn(2) restores everything at once (general
// registers, extended state, signal mask, alternate stack), which no sequence of plain instructions can.
//
// Layout: arch/x86/include/uapi/asm/{sigcontext,ucontext}.h. Freestanding.
#pragma once

#include "lib/base/types.h"

namespace omig {

struct SignalFrame {
  u64 return_address = 0;  // popped before rt_sigreturn: the syscall expects rsp just behind it
  u64 uc_flags = 7;        // UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
  u64 uc_link = 0;
  u64 altstack_sp = 0;
  i32 altstack_flags = 0;
  i32 pad0 = 0;
  u64 altstack_bytes = 0;
  u64 r8 = 0, r9 = 0, r10 = 0, r11 = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
  u64 rdi = 0, rsi = 0, rbp = 0, rbx = 0, rdx = 0, rax = 0, rcx = 0, rsp = 0, rip = 0, rflags = 0;
  u16 cs = 0, gs = 0, fs = 0, ss = 0;
  u64 err = 0, trapno = 0, oldmask = 0, cr2 = 0;
  u64 fpstate = 0;  // absolute address of the XSAVE image
  u64 reserved[8] = {};
  u64 sigmask = 0;
};

inline constexpr u32 kFrameFpstateOffset = 512;  // the XSAVE image behind the frame, 64-aligned
static_assert(sizeof(SignalFrame) <= kFrameFpstateOffset);
inline constexpr u32 kFrameMaxBytes = 15 * 1024;

}  // namespace omig
