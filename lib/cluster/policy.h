// SPDX-License-Identifier: Apache-2.0
// Which rules decide. omig's own is the default; the others are kept for comparison (docs/POLICY.md) and selectable.
#pragma once

#include <span>
#include <string_view>

#include "lib/base/types.h"

namespace omig::cluster {

enum class StartRule : u8 {
  home,          // where it was started
  round_robin,   // every node in turn
  least_loaded,  // the least loaded by gossip, unasked
  opportunity,   // the least n^utilisation by gossip, unasked
  probe,         // shortlist by gossip, decide on fresh answers, wait a moment for a free CPU (start.h)
};

enum class MoveRule : u8 {
  none,
  threshold,    // openMosix': one process a second to a node that is less loaded by a threshold
  opportunity,  // the same hands, choosing by n^utilisation
  gain,         // what the cluster gains over the expected remaining time, less the charge for the move
};

struct Policy {
  std::string_view name;
  StartRule start = StartRule::home;
  MoveRule move = MoveRule::none;
  bool pull = false;         // a node with an idle CPU asks loaded ones for work
  bool hold = false;         // over its memory a node lets the newest wait instead of paging, and ushers them away
  bool young_first = false;  // processes under kYoung_s of CPU time weigh kYoungWeight times as much

  double charge = 6;          // times the plain cost of a move; a frozen process also blocks its reserved place
  double patience_s = 0.015;  // that a new process waits, at a place twice as bad as the best, for a better one
  double longest_wait_s = 0.4;
  double calls_cost = 5;  // a new process avoids being slow with its calls for life more than being crowded for a while
  double spare = 1;       // CPUs that one known to be CPU-bound leaves free at home, for those that need to be there
  u32 shortlist = 6;      // known nodes that are asked before a process starts
  u32 strangers = 6;      // and random ones, if none of those has a free CPU
  u32 pushes = 16;        // moves begun in one round
};

inline constexpr double kYoung_s = 2;
inline constexpr double kYoungWeight = 10;

extern const Policy kOmig;

std::span<const Policy> policies();
const Policy* policy_named(std::string_view name);

}  // namespace omig::cluster
