// SPDX-License-Identifier: Apache-2.0
// Coming home: home kept its mappings while the guest changed its own. This plans the few calls that bring home's
// layout in line, and says which ranges must be shipped in full because home has no file behind them.
#pragma once

#include <span>

#include "lib/image/image.h"

namespace omig::image {

enum class EditKind { unmap, map_anonymous, map_pin, view_segment, advise, protect };

struct Edit {
  EditKind kind;
  u64 start;
  u64 bytes;
  u32 prot;      // wanted in the end
  u32 flags;     // Vma flags, for map_anonymous
  u64 from = 0;  // map_pin: the address that is moved to `start`; may be `start`. view_segment: another view of it.
                 // advise: the kAdvice flags that it has now, `flags` has those wanted
};

struct LayoutPlan {
  std::vector<Edit> edits;  // in order
  // What home will have: the guest's mappings, split where home's truth differs. kind == file: home has the same file
  // there, so only pages that are no longer the file's need shipping. kind == anonymous: everything that was ever
  // touched.
  std::vector<Vma> result;
};

// Both sorted by start, without the engine's own range; vdso kinds are ignored on both sides (home keeps its own).
// `pins`: files that home has mapped aside; each byte of one serves once.
LayoutPlan plan_layout(const std::vector<Vma>& home, const std::vector<Vma>& guest, std::span<const Pin> pins = {});

// The pins after one of them has given [from, from + bytes) to `to`.
std::vector<Pin> moved_pin(std::span<const Pin> pins, u64 from, u64 bytes, u64 to);

}  // namespace omig::image
