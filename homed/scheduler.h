// SPDX-License-Identifier: Apache-2.0
// The scheduler's hands: it gathers the state, asks lib/cluster what to do, and has Moves do it.
#pragma once

#include <optional>

#include "homed/moves.h"

namespace omig {

// What lib/cluster needs to know of this moment.
cluster::PlacementState placement_state(Daemon& daemon);
// Where one process would be best off; nothing: where it is.
std::optional<cluster::Seen> best_place(Daemon& daemon, const VisitorKey& key);

class Scheduler {
 public:
  Scheduler(Daemon& daemon, Moves& moves) : d_(daemon), moves_(moves), timer_(daemon.io) {}

  awaitable<void> run();
  // There is news about loads: decide soon instead of at the next tick.
  void poke();

 private:
  void decide();
  awaitable<void> carry_out(cluster::MoveDecision decision, VisitorKey key);

  Daemon& d_;
  Moves& moves_;
  asio::steady_timer timer_;
  u32 in_flight_ = 0;
  u64 rounds_ = 0;
  i64 decided_ms_ = 0;
  i64 sampled_ms_ = 0;
  bool poked_ = false;
};

}  // namespace omig
