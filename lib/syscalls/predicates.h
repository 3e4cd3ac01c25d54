// SPDX-License-Identifier: Apache-2.0
// The five rows whose arguments decide whether the host sees the call. table.cpp (notified) and filter.cpp (the
// guest's program) both read these constants, and a test runs one against the other.
#pragma once

#include <sys/mman.h>

#include "lib/base/types.h"

namespace omig::syscalls {

// mmap is local when its flags, under this mask, say private and anonymous.
inline constexpr u64 kMapKindMask = 0xf /* MAP_TYPE */ | MAP_ANONYMOUS;
inline constexpr u64 kMapPrivateAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;

// rt_sigaction is local unless it sets SIGCHLD. Only the bits that make up a signal number are compared, because the
// upper half of an int's register is anything; a number such as 17 + 128 is then notified too, and refused there.
inline constexpr u64 kSignalMask = 0x7f;

// clock_gettime is local but for the clocks of CPU time: 2, 3 and all negative ids. A clock that is not one of them has
// the sign bit clear and either one of these bits set, or none but the lowest.
inline constexpr u64 kClockSign = 0x80000000;
inline constexpr u64 kClockBits[] = {4, 8, 0x10};
inline constexpr u64 kClockMask = 0xffffffff;

// clock_nanosleep is local when it waits for an absolute time: that restarts exactly, on every node.
inline constexpr u64 kAbsoluteTime = 1;  // TIMER_ABSTIME

// madvise is local when it gives memory back or says how it will be used; what changes a mapping's nature, which a move
// has to carry, is above MADV_FREE.
inline constexpr u64 kAdviceHigh = 0xfffffff8, kAdviceFree = MADV_FREE;

}  // namespace omig::syscalls
