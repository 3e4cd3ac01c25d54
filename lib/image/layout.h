// SPDX-License-Identifier: Apache-2.0
// Coming home: home kept its mappings while the guest changed its own. This plans the few calls that bring home's
// layout in line, and says which ranges must be shipped in full because home has no file behind them.
#pragma once

#include "lib/image/image.h"

namespace omig::image {

enum class EditKind { unmap, map_anonymous, protect };

struct Edit {
  EditKind kind;
  u64 start;
  u64 bytes;
  u32 prot;   // wanted in the end
  u32 flags;  // Vma flags, for map_anonymous
};

struct LayoutPlan {
  std::vector<Edit> edits;  // in order
  // What home will have: the guest's mappings, split where home's truth differs. kind == file: home has the same file
  // there, so only pages that are no longer the file's need shipping. kind == anonymous: everything that was ever
  // touched.
  std::vector<Vma> result;
};

// Both sorted by start, without the engine's own range; vdso kinds are ignored on both sides (home keeps its own).
LayoutPlan plan_layout(const std::vector<Vma>& home, const std::vector<Vma>& guest);

}  // namespace omig::image
