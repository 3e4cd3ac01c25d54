// SPDX-License-Identifier: Apache-2.0
// Gossip alone: how fast news get around, against the formula.
#pragma once

#include <vector>

#include "lib/base/types.h"

namespace omig::sim {

struct Reach {
  std::vector<double>
      reached;                // nodes that hold news of a node not older than 1, 2, ... steps, the node itself included
  double mean_age_steps = 0;  // of what windows hold
};

// `nodes` nodes tell one random other each step; windows keep `window` entries.
Reach spread_rumours(u32 nodes, u32 window, u32 steps, u64 seed);

}  // namespace omig::sim
