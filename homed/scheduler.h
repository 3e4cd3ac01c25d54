// SPDX-License-Identifier: Apache-2.0
// The scheduler's hands: it gathers the state, asks lib/cluster what to do, and has Moves do it.
#pragma once

#include <memory>
#include <optional>

#include "homed/moves.h"

namespace omig {

// What lib/cluster needs to know of this moment.
cluster::PlacementState placement_state(Daemon& daemon);
// Where one process would be best off; nothing: where it is.
std::optional<cluster::Seen> best_place(Daemon& daemon, const VisitorKey& key);

// A record of what is about to be tried, and of how it ended.
MoveRecord record_of(Daemon& daemon, const cluster::MoveDecision& decision, const VisitorKey& key, std::string cause,
                     std::string reason);
MoveRecord concluded(MoveRecord record, const MoveResult& result);

// It is not considered until then.
void bar(Daemon& daemon, const VisitorKey& key, i64 until_ms);

// So many moves may be under way from here: a program that forks ten children spreads in one wave, but those that are
// under way stand still.
inline constexpr u32 kMovesAtOnce = 8;
// Large ones share the link: one after the other, the first relieves this node in the time in which else none would,
// and each stands still for its own bytes only.
inline constexpr u64 kBytesAtOnce = 32 << 20;
// May a move of so much memory begin now?
bool has_turn(const Daemon& daemon, u64 bytes);
// A move that is under way, however it ends.
struct OnItsWay {
  OnItsWay(Daemon& daemon, u64 memory_bytes) : d(daemon), bytes(memory_bytes) {
    ++d.on_their_way;
    d.bytes_on_their_way += bytes;
  }
  ~OnItsWay() {
    --d.on_their_way;
    d.bytes_on_their_way -= bytes;
  }
  OnItsWay(const OnItsWay&) = delete;
  OnItsWay& operator=(const OnItsWay&) = delete;
  Daemon& d;
  const u64 bytes;
};

// What the policy makes of a process that runs here, in one paragraph; empty: it does not.
std::string explanation(Daemon& daemon, const VisitorKey& key);

class Scheduler {
 public:
  Scheduler(Daemon& daemon, Moves& moves) : d_(daemon), moves_(moves), timer_(daemon.io) {}

  awaitable<void> run();
  // There is news about loads: decide soon instead of at the next tick.
  void poke();

 private:
  void decide();
  awaitable<void> carry_out(cluster::MoveDecision decision, VisitorKey key, MoveRecord record,
                            std::shared_ptr<OnItsWay> counted);

  Daemon& d_;
  Moves& moves_;
  asio::steady_timer timer_;
  u64 rounds_ = 0;
  i64 decided_ms_ = 0;
  i64 sampled_ms_ = 0;
  bool poked_ = false;
};

}  // namespace omig
