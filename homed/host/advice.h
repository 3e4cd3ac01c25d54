// SPDX-License-Identifier: Apache-2.0
// The advice of madvise(2) that changes what a mapping is, and so travels with it. Hints about speed (huge pages,
// merging) are this node's own business.
#pragma once

#include <sys/mman.h>

#include "lib/image/image.h"

namespace omig::host {

struct Advice {
  u32 flag;     // of image::Vma
  u64 on, off;  // for madvise
};

inline constexpr Advice kAdvices[] = {{image::kDontFork, MADV_DONTFORK, MADV_DOFORK},
                                      {image::kWipeOnFork, MADV_WIPEONFORK, MADV_KEEPONFORK},
                                      {image::kDontDump, MADV_DONTDUMP, MADV_DODUMP}};

inline constexpr u64 kMadvGuardInstall = 102, kMadvGuardRemove = 103;  // Linux 6.13

// Whether a guest's mappings have to be looked at for it when it moves.
inline bool changes_mapping(u64 advice) {
  for (const Advice& a : kAdvices)
    if (advice == a.on || advice == a.off) return true;
  return advice == kMadvGuardInstall || advice == kMadvGuardRemove;
}

}  // namespace omig::host
