// SPDX-License-Identifier: Apache-2.0
// Before this node runs out of memory, processes leave it for nodes that have some, whatever the load there: one after
// the other, the smallest that clears the deficit, else the largest. Each has its memory reserved at the target first.
#pragma once

#include "homed/moves.h"
#include "lib/cluster/memory.h"

namespace omig {

class Usher {
 public:
  Usher(Daemon& daemon, Moves& moves) : d_(daemon), moves_(moves) {}

  // After each look at the processes.
  void review();

 private:
  awaitable<void> carry_out(std::vector<cluster::MoveDecision> targets, VisitorKey key, std::string reason);

  Daemon& d_;
  Moves& moves_;
  cluster::MemoryWatch watch_;
  cluster::RefaultMeter refaults_;
  std::map<VisitorKey, u64> leaving_;  // bytes of those that are on their way
  bool helpless_ = false;              // it was said that nobody can leave
};

}  // namespace omig
