// SPDX-License-Identifier: Apache-2.0
// The rules that omig's is measured against: openMosix' threshold and the opportunity cost of Amir, Awerbuch, Barak,
// Borgstrom and Keren (IEEE TPDS 11(7), 2000). Both decide on gossip alone, once a second, one process at a time.
#pragma once

#include <vector>

#include "lib/cluster/placement.h"

namespace omig::cluster {

// openMosix: if the least loaded node known would, with one process more, still be less loaded by a threshold, the
// process that has used the CPU longest goes there.
std::vector<MoveDecision> decide_by_threshold(const PlacementState& state, u64 seed);
// The same, where a node's price is nodes^(CPU utilisation) + nodes^(memory utilisation) and the sum is lowered most.
std::vector<MoveDecision> decide_by_opportunity(const PlacementState& state, u64 seed);

// Where a new process starts; self.id: at home.
u32 least_loaded_start(const NodeLoad& self, const std::vector<NodeLoad>& known, u64 seed);
u32 least_opportunity_start(const NodeLoad& self, const std::vector<NodeLoad>& known, const Candidate& job, u64 seed);

}  // namespace omig::cluster
