// SPDX-License-Identifier: Apache-2.0
// Where running processes should be: pure functions of (state, time, seed), so that homed and the simulator share them.
//
// The rule: the cluster's total slowness is sum over nodes of n * max(1, n / cpus) / speed. A process moves when what
// its node gains by losing it exceeds, by a margin, what the target loses by getting it. Every such move lowers the sum
// by more than the margin, so with unchanging demands moves must end: there is no ping-pong to suppress afterwards.
// Demands do change, so a process also stays a while wherever it has come to, longer with every move.
//
// Nobody is flooded: the source only proposes; the target answers from its own fresh numbers (`accepts`), which include
// what it has already promised to others, and reserves. Its answer carries its fresh entry, so that the source's next
// proposal already knows about this one.
//
// Push: a loaded node calls `decide` over what it knows. Pull: a node with an idle CPU reserves it and asks a loaded
// one, which calls `decide` with the asker as the only target. Usher: a node short of memory calls `usher`.
#pragma once

#include <span>
#include <vector>

#include "lib/cluster/job.h"
#include "lib/cluster/links.h"
#include "lib/cluster/load.h"
#include "lib/cluster/policy.h"

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
  double calls_per_s = 0;        // system calls that are, or would be, forwarded
  double bytes_per_s = 0;        // read and written by them
  double cpu_per_s = 1;          // CPU seconds that it gets a second; one that is starved also calls less
  bool calls_known = true;       // measured, or remembered of its program
  bool movable = true;           // not under way, not known to be unable, allowed
  bool away = false;             // a guest here
  bool interactive = false;      // somebody at a terminal waits for it, or it for him
  bool held = false;             // waits here for memory or a CPU
  bool started = true;           // if not, it has no memory yet that would have to travel
  bool locked = false;           // only who asks moves it; but out of a node without memory it goes home
  JobKind kind = JobKind::none;  // as its user says: cpu: its calls do not count; io: it belongs at home
};

struct PlacementState {
  NodeLoad self;                 // `runnable` excludes processes that are on their way out
  std::vector<NodeLoad> others;  // alive and accepting only
  std::vector<Candidate> running;
  u32 moves_left = 4;      // how many more may be started now
  double own_load = 0;     // LoadAverage::own, for openMosix' rule
  double link_wait_s = 0;  // how long a move begun now would wait for the network
  Links links;             // from this node to the others
};

struct MoveDecision {
  i32 pid = 0;
  u32 home_id = 0;
  u32 target_id = 0;
  double demand = 0;
  u64 rss_bytes = 0;
  double relief = 0;     // what this node gains
  double penalty = 1;    // factor on what the target loses: > 1 away from home, < 1 towards home
  bool own_cpu = false;  // only if the target has a CPU for it alone
  bool urgent = false;   // for memory: whatever the target's load
  // Why, for the log: what the target loses, the seconds it is expected to go on, the charge for the move in seconds of
  // slowness, and what is left.
  double cost = 0, expected_s = 0, charge_s = 0, gain = 0;
};

// Is there anything that speaks against moving it at all now, wherever to?
enum class Unripe : u8 { no, not_movable, locked, io_bound, interactive, held, too_young, unmeasured, idle, just_came };
Unripe unripe(const Candidate& candidate, const Links& links = {});
i64 residence_needed_ms(const Candidate& candidate);
inline constexpr i64 kMinAge_ms = 250;  // a child that will end at once is not worth a move
inline constexpr double kMinDemand = 0.5;
inline constexpr double kLeastCpu_per_s = 0.02;  // less is not measured: /proc counts in hundredths of a second

// One process, one target: what it would be worth to move it (MoveRule::gain), with the numbers that decide it.
struct Judgement {
  enum class Verdict : u8 { move, here_already, no_memory, no_better, not_worth_it } verdict = Verdict::here_already;
  MoveDecision move;
};
Judgement judge(const PlacementState& state, const Candidate& candidate, const NodeLoad& target, const Policy& policy);

std::vector<MoveDecision> decide(const PlacementState& state, u64 seed, const Policy& policy = kOmig);

// The best target for one process regardless of its residence and age (`migrate PID balance`); nothing: it is best
// here.
std::vector<MoveDecision> decide_for(const PlacementState& state, i32 pid, u32 home_id, u64 seed);

// Which processes should leave a node that is `deficit_bytes` short: the smallest of the held ones; if none is held the
// smallest that covers the deficit, else the largest. One victim, its possible targets best first.
std::vector<MoveDecision> usher(const PlacementState& state, u64 deficit_bytes, u64 seed);

// Asked at the target, with its entry of this moment (reservations included).
bool accepts(const NodeLoad& target, const MoveDecision& move);

// A node short of memory does not page: the newest wait. Which of its processes run, given their sizes, oldest first?
// Never none: the first runs even if it alone is too large.
std::vector<bool> may_run(std::span<const u64> bytes_oldest_first, u64 room_bytes);

// What being at `target_id` costs it, as a factor: each forwarded call takes a round trip more than at home. `links`
// are those of the node where it runs. From there to its home and from there to the target are known; between those two
// we take the longer of both.
double penalty_of(const Candidate& candidate, u32 target_id, const Links& links = {});
// Is there memory for so much more, with a reserve?
bool has_memory(const NodeLoad& node, u64 bytes);

// At most so many arrivals a second, so that a node that has just become idle is not flooded on everybody's old news.
class Tokens {
 public:
  explicit Tokens(double per_s) : per_s_(per_s), left_(per_s) {}
  bool take(i64 now_ms);

 private:
  double per_s_, left_;
  i64 filled_ms_ = 0;
};

}  // namespace omig::cluster
