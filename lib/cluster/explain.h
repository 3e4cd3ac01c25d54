// SPDX-License-Identifier: Apache-2.0
// Decisions in words, with the numbers that they rest on: for the log of moves and for `omctl why`. Pure.
#pragma once

#include <functional>
#include <string>

#include "lib/cluster/placement.h"

namespace omig::cluster {

using NameOf = std::function<std::string(u32 id)>;

// "6.0 threads on node1's 0.40 CPUs, 0.0 on node2's 0.40: ...", one line.
std::string reason_of(const MoveDecision& move, const PlacementState& state, const NameOf& name);

// One paragraph about a process that runs on `state.self`: where it could go, what that would be worth, and what would
// have to change for it to move, or, if it is about to, that it is.
std::string explain(const PlacementState& state, const Candidate& candidate, const Policy& policy, const NameOf& name);

}  // namespace omig::cluster
