// SPDX-License-Identifier: Apache-2.0
// PAGEMAP_SCAN (Linux 6.7, include/uapi/linux/fs.h), which Debian 12's headers do not know yet.
#pragma once

#include "lib/base/types.h"

namespace omig::abi {

struct PageRegion {
  u64 start;
  u64 end;
  u64 categories;
};

struct PmScanArg {
  u64 size;
  u64 flags;
  u64 start;
  u64 end;
  u64 walk_end;
  u64 vec;
  u64 vec_len;
  u64 max_pages;
  u64 category_inverted;
  u64 category_mask;
  u64 category_anyof_mask;
  u64 return_mask;
};
static_assert(sizeof(PmScanArg) == 0x60);

inline constexpr unsigned long kPagemapScan = 0xc0606610;
inline constexpr u64 kPmScanWpMatching = 1 << 0;  // marks the pages it lists, where userfaultfd tracks writes
inline constexpr u64 kPageIsWpAllowed = 1 << 0;
inline constexpr u64 kPageIsWritten = 1 << 1;
inline constexpr u64 kPageIsFile = 1 << 2;
inline constexpr u64 kPageIsPresent = 1 << 3;
inline constexpr u64 kPageIsSwapped = 1 << 4;
inline constexpr u64 kPageIsPfnzero = 1 << 5;
inline constexpr u64 kPageIsHuge = 1 << 6;
inline constexpr u64 kPageIsGuard = 1 << 8;  // Linux 6.16; older ones refuse the whole scan

}  // namespace omig::abi
