// SPDX-License-Identifier: Apache-2.0
// Nodes of different versions in one cluster: each says from which version to which it speaks. Those whose ranges meet
// are peers. A program has the version of the engine that it was started with, for as long as it lives; it may visit
// nodes that speak that.
//
// kVersion grows with every change of what an older node, host or engine would misread: a frame, the image, the anchor.
// What is added in places where older ones look for nothing (JSON, the anchor's end) needs no new version.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "lib/wire/link.h"

namespace omig::wire {

struct Versions {
  u32 oldest = kOldest, newest = kVersion;

  constexpr bool has(u32 version) const { return oldest <= version && version <= newest; }
  constexpr bool meet(const Versions& other) const { return oldest <= other.newest && other.oldest <= newest; }
};
inline constexpr Versions kSpoken;

inline std::string version_mismatch(std::string_view node, const Versions& speaks = kSpoken) {
  return speaks.oldest == speaks.newest
             ? fmt::format("version mismatch: {} speaks {}", node, speaks.newest)
             : fmt::format("version mismatch: {} speaks {} to {}", node, speaks.oldest, speaks.newest);
}

}  // namespace omig::wire
