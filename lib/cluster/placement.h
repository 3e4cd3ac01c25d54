// SPDX-License-Identifier: Apache-2.0
// Where processes should run: pure functions of (state, time, seed), so that homed and a simulator share them.
//
// The rule: the cluster's total slowness is sum over nodes of n * max(1, n / cpus) / speed. A process moves when what
// its node gains by losing it exceeds, by a margin, what the target loses by getting it. Every such move lowers the sum
// by more than the margin, so with unchanging demands moves must end: there is no ping-pong to suppress afterwards.
// Demands do change, so a process also stays a while wherever it has come to, longer with every move.
//
// Nobody is flooded: the source only proposes; the target answers from its own fresh numbers (`accepts`), which include
// what it has already promised to others, and reserves. Its answer carries its fresh entry, so that the source's next
// proposal already knows about this one.
#pragma once

#include <vector>

#include "lib/cluster/load.h"
#include "lib/cluster/window.h"

namespace omig::cluster {

// A process that runs here, a guest or a native one.
struct Candidate {
  i32 pid = 0;          // its pid at home
  u32 home_id = 0;      // the node it belongs to
  double demand = 0;    // threads that want to run
  u32 samples = 0;      // how often that was measured
  i64 age_ms = 0;       // since it was started
  i64 resident_ms = 0;  // since it came to this node (natives that never left: age)
  u32 moves = 0;        // completed so far
  u64 rss_bytes = 0;
  double calls_per_s = 0;  // system calls that are, or would be, forwarded
  bool movable = true;     // not under way, not known to be unable, allowed
};

struct PlacementState {
  NodeEntry self;                 // `runnable` excludes processes that are on their way out
  std::vector<NodeEntry> others;  // alive and accepting only
  std::vector<Candidate> running;
  u32 moves_left = 4;  // how many more may be started now
};

struct MoveDecision {
  i32 pid = 0;
  u32 home_id = 0;
  u32 target_id = 0;
  double demand = 0;
  u64 rss_bytes = 0;
  double relief = 0;   // what this node gains
  double penalty = 1;  // factor on what the target loses: > 1 away from home, < 1 towards home
};

std::vector<MoveDecision> decide(const PlacementState& state, u64 seed);

// The best target for one process regardless of its residence and age (`migrate PID balance`); nothing: it is best
// here.
std::vector<MoveDecision> decide_for(const PlacementState& state, i32 pid, u32 home_id, u64 seed);

// Asked at the target, with its entry of this moment (reservations included).
bool accepts(const NodeEntry& target, const MoveDecision& move);

}  // namespace omig::cluster
