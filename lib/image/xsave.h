// SPDX-License-Identifier: Apache-2.0
// The processor's extended state (x87, SSE, AVX, AVX-512, PKRU, AMX) as ptrace(2) and signal frames have it: the
// standard form of XSAVE, of which the kernel gives and takes different lengths.
//
//   PTRACE_GETREGSET NT_X86_XSTATE: room for all that the processor has, AMX' 8 KiB as well
//   PTRACE_SETREGSET: exactly as long as the kernel's own (arch/x86/kernel/fpu/regset.c), else EFAULT
//   rt_sigreturn(2): at most as long as this thread may have, which is without AMX unless it has asked for that
//     (arch_prctl ARCH_REQ_XCOMP_PERM); of a longer one only x87 and SSE are restored, without a word (signal.c)
//
// So a frame is cut behind the last component that holds something, which every kernel takes that has the component.
#pragma once

#include <utility>
#include <vector>

#include "lib/base/types.h"

namespace omig::image {

inline constexpr u32 kXsaveLegacyBytes = 576;   // FXSAVE's area and the header
inline constexpr u32 kXsaveFeaturesAt = 464;    // what the kernel that wrote it had, in the software bytes
inline constexpr u32 kXsaveInUseAt = 512;       // the header's first word
inline constexpr u64 kXsaveTiles = 1ull << 18;  // AMX' tile data

struct XsaveShape {
  u64 features = 0;
  u32 bytes = 0;
};
// Of an image of at least kXsaveLegacyBytes: what a frame for rt_sigreturn is to say of it, and how long it is there.
XsaveShape shape_in_frame(const u8* xsave, u32 bytes);

// {component, its offset} of this processor, from AVX on. Intel's and AMD's differ.
std::vector<std::pair<u32, u32>> xsave_layout();

}  // namespace omig::image
