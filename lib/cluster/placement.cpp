// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/placement.h"

#include <algorithm>
#include <tuple>

#include "lib/cluster/classic.h"
#include "lib/cluster/seed.h"

namespace omig::cluster {

namespace {

constexpr u32 kMinSamples = 2;
constexpr i64 kMinResidence_ms = 1'500;  // at a node it has come to; doubled by every further move
constexpr i64 kMaxResidence_ms = 60'000;
constexpr double kMargin = 0.05;         // of the source's relief, kept as hysteresis
constexpr double kUnknownPenalty = 1.1;  // nobody knows yet how much it calls home
constexpr double kLeastPenalty = 1.01;   // a tie is no reason to leave
constexpr double kMostPenalty = 3;
constexpr double kByte_s = 8e-9;  // each byte that it reads or writes, over the network
constexpr double kQuiet = 0.04;   // of its time spent with that: a guest that does no more does not miss its home
constexpr double kHorizon_s = 4;  // of starts at a target count as if they were there already
constexpr double kMemoryReserve = 0.05;  // of a target's memory stays free
constexpr double kMoveFixed_s = 0.005;
constexpr double kMoveBytes_per_s = 1e9;

// How full a node is for something that has memory to carry there. Where processes start all the time, a CPU that is
// free for a moment belongs to the next of them: what moves there stays long, and all that come meanwhile are the worse
// for it.
double lasting_load(const NodeLoad& n) { return n.load() + n.coming * kHorizon_s; }

// Seconds a second that its calls take longer at that node than at home, at the rate of now.
double waits_away(const Candidate& c, u32 target_id, const Links& links) {
  if (c.kind == JobKind::cpu) return 0;
  if (c.kind == JobKind::io) return kMostPenalty - 1;
  const double now_s = links.call_s(c.away ? c.home_id : target_id);
  const double call_s = target_id == c.home_id ? now_s : std::max(now_s, links.call_s(target_id));
  return c.calls_per_s * call_s + c.bytes_per_s * kByte_s;
}
// The same for each second that it computes: one that gets a tenth of a CPU makes a tenth of the calls, and all of them
// where it has a CPU to itself.
double slower_away(const Candidate& c, u32 target_id, const Links& links) {
  const double waits = waits_away(c, target_id, links);
  return c.kind == JobKind::none ? waits / std::max(c.cpu_per_s, kLeastCpu_per_s) : waits;
}
// A guest that waits for its home more than it computes looks idle where it is; it is none the less badly placed.
bool misses_home(const Candidate& c, const Links& links) { return c.away && waits_away(c, c.home_id, links) > kQuiet; }

bool worthwhile(double relief, double cost, double penalty) { return relief * (1 - kMargin) > cost * penalty; }

struct Best {
  double gain = 0;
  u64 tie = 0;
  const Candidate* candidate = nullptr;
  NodeLoad* target = nullptr;
  MoveDecision move;
};

struct Weigh {
  const PlacementState& state;
  u64 seed;
  const Policy& policy;

  void consider(const Candidate& c, NodeLoad& target, Best& best) const {
    const Judgement judged = judge(state, c, target, policy);
    if (judged.verdict != Judgement::Verdict::move) return;
    const double gain = judged.move.gain;
    // Ties between equal targets must not fall the same way on every node.
    const u64 tie = mix(seed ^ (u64{target.id} << 32) ^ static_cast<u32>(c.pid));
    if (best.candidate != nullptr && std::pair(gain, tie) <= std::pair(best.gain, best.tie)) return;
    best = {gain, tie, &c, &target, judged.move};
  }
};

template <class Eligible>
std::vector<MoveDecision> choose(PlacementState state, u64 seed, u32 limit, const Policy& policy, Eligible eligible) {
  std::vector<MoveDecision> moves;
  std::vector<const Candidate*> open;
  for (const Candidate& c : state.running)
    if (eligible(c)) open.push_back(&c);
  const Weigh weigh{state, seed, policy};
  while (moves.size() < limit && !open.empty()) {
    Best best;
    for (const Candidate* c : open)
      for (NodeLoad& target : state.others) weigh.consider(*c, target, best);
    if (best.candidate == nullptr) break;
    // From here on the state is as if the move were done.
    (best.candidate->held ? state.self.held : state.self.runnable) -= best.move.demand;
    state.self.runnable = std::max(0.0, state.self.runnable);
    best.target->reserved += best.move.demand;
    best.target->free_bytes -= std::min(best.target->free_bytes, best.move.rss_bytes);
    std::erase(open, best.candidate);
    moves.push_back(best.move);
  }
  return moves;
}

}  // namespace

i64 residence_needed_ms(const Candidate& c) {
  if (c.moves == 0) return 0;
  i64 needed = kMinResidence_ms;
  for (u32 i = 1; i < c.moves && needed < kMaxResidence_ms; ++i) needed *= 2;
  return std::min(needed, kMaxResidence_ms);
}

Unripe unripe(const Candidate& c, const Links& links) {
  if (!c.movable) return Unripe::not_movable;
  if (c.locked) return Unripe::locked;
  if (c.kind == JobKind::io && !c.away) return Unripe::io_bound;
  if (c.interactive) return Unripe::interactive;
  if (!c.started) return Unripe::no;  // nothing has to be known of it, and it costs nothing
  if (c.held) return Unripe::held;
  if (c.age_ms < kMinAge_ms) return Unripe::too_young;
  if (c.samples < kMinSamples) return Unripe::unmeasured;
  if (c.demand < kMinDemand && !misses_home(c, links)) return Unripe::idle;
  return c.resident_ms < residence_needed_ms(c) ? Unripe::just_came : Unripe::no;
}

// The gain: seconds of slowness saved over the process' expected remaining time (as long as it has lived: lifetimes are
// heavy-tailed; the youngest have a second or more before them on average) once it is there, less the charge for the
// move itself.
Judgement judge(const PlacementState& state, const Candidate& c, const NodeLoad& target, const Policy& policy) {
  using Verdict = Judgement::Verdict;
  const NodeLoad& self = state.self;
  const double w = std::max(c.demand, 0.1);
  const double bytes = c.started ? static_cast<double>(c.rss_bytes) : 0;
  Judgement judged{Verdict::here_already, {c.pid, c.home_id, target.id, w, c.rss_bytes}};
  if (target.id == self.id) return judged;
  MoveDecision& m = judged.move;
  m.relief = relief_of_removing(self.load(), w, self.cpus, self.speed);
  m.cost = cost_of_adding(c.started ? lasting_load(target) : target.load(), w, target.cpus, target.speed);
  m.penalty = penalty_of(c, target.id, state.links);
  // It goes on here while its memory travels: what is saved is saved of the time after that.
  m.expected_s = std::clamp(static_cast<double>(c.age_ms) / 1000, 1.0, 10.0) - state.links.move_s(target.id, bytes);
  m.expected_s = std::max(0.0, m.expected_s);
  m.charge_s = policy.charge * (kMoveFixed_s + bytes / kMoveBytes_per_s + state.link_wait_s);
  m.gain = (m.relief - m.penalty * m.cost) * m.expected_s - m.charge_s;
  const bool astray = c.kind == JobKind::io && target.id != c.home_id;
  judged.verdict = !has_memory(target, c.rss_bytes)           ? Verdict::no_memory
                   : astray                                   ? Verdict::no_better
                   : !worthwhile(m.relief, m.cost, m.penalty) ? Verdict::no_better
                   : m.gain <= 0                              ? Verdict::not_worth_it
                                                              : Verdict::move;
  return judged;
}

double penalty_of(const Candidate& c, u32 target_id, const Links& links) {
  const double slower = slower_away(c, target_id, links);
  const double away = std::clamp(1 + slower, kLeastPenalty, kMostPenalty);
  if (target_id != c.home_id) return c.calls_known || c.kind != JobKind::none ? away : std::max(away, kUnknownPenalty);
  return slower > kQuiet ? 1 / away : 1.0;
}

bool has_memory(const NodeLoad& node, u64 bytes) {
  if (node.total_bytes == 0) return true;
  const double left = static_cast<double>(node.free_bytes) - static_cast<double>(bytes);
  return left >= kMemoryReserve * static_cast<double>(node.total_bytes);
}

std::vector<MoveDecision> decide(const PlacementState& state, u64 seed, const Policy& policy) {
  switch (policy.move) {
    case MoveRule::none: return {};
    case MoveRule::threshold: return decide_by_threshold(state, seed);
    case MoveRule::opportunity: return decide_by_opportunity(state, seed);
    case MoveRule::gain: break;
  }
  const auto ripe = [&](const Candidate& c) { return unripe(c, state.links) == Unripe::no; };
  return choose(state, seed, state.moves_left, policy, ripe);
}

std::vector<MoveDecision> decide_for(const PlacementState& state, i32 pid, u32 home_id, u64 seed) {
  return choose(state, seed, 1, kOmig, [&](const Candidate& c) { return c.pid == pid && c.home_id == home_id; });
}

std::vector<MoveDecision> usher(const PlacementState& state, u64 deficit_bytes, u64 seed) {
  const Candidate* victim = nullptr;
  const auto rank = [&](const Candidate& c) {
    const bool covers = c.rss_bytes >= deficit_bytes;
    // Held before running; among the held the smallest; among the running the smallest that covers, else the largest.
    return std::tuple(!c.held, !c.held && !covers, c.held || covers ? c.rss_bytes : ~c.rss_bytes, c.pid);
  };
  // A locked one goes nowhere but home, where nobody has to be asked.
  const auto can_go_to = [&](const Candidate& c, const NodeLoad& target) {
    return target.id != state.self.id && has_memory(target, c.rss_bytes) && (!c.locked || target.id == c.home_id);
  };
  const auto can_go = [&](const Candidate& c) {
    return c.movable &&
           (!c.locked || std::ranges::any_of(state.others, [&](const auto& n) { return can_go_to(c, n); }));
  };
  for (const Candidate& c : state.running)
    if (can_go(c) && (victim == nullptr || rank(c) < rank(*victim))) victim = &c;
  std::vector<MoveDecision> moves;
  if (victim == nullptr) return moves;
  std::vector<std::tuple<double, u64, u32>> targets;
  for (const NodeLoad& target : state.others) {
    if (!can_go_to(*victim, target)) continue;
    const double cost = cost_of_adding(target.load(), victim->demand, target.cpus, target.speed);
    targets.emplace_back(cost * penalty_of(*victim, target.id, state.links), mix(seed ^ target.id), target.id);
  }
  std::ranges::sort(targets);
  for (const auto& [cost, tie, id] : targets) {
    MoveDecision move{victim->pid, victim->home_id, id, victim->demand, victim->rss_bytes};
    move.penalty = penalty_of(*victim, id, state.links);
    move.urgent = true;
    moves.push_back(move);
  }
  return moves;
}

bool accepts(const NodeLoad& target, const MoveDecision& move) {
  if (!target.accepts || !has_memory(target, move.rss_bytes)) return false;
  if (move.urgent) return true;
  if (move.own_cpu && target.load() + move.demand > std::max(target.cpus, move.demand)) return false;
  const double cost = cost_of_adding(target.load(), move.demand, target.cpus, target.speed);
  return worthwhile(move.relief, cost, move.penalty);
}

std::vector<bool> may_run(std::span<const u64> bytes_oldest_first, u64 room_bytes) {
  std::vector<bool> run(bytes_oldest_first.size());
  u64 left = room_bytes;
  for (size_t i = 0; i < run.size(); ++i) {
    run[i] = i == 0 || bytes_oldest_first[i] <= left;
    if (run[i]) left -= std::min(left, bytes_oldest_first[i]);
  }
  return run;
}

bool Tokens::take(i64 now_ms) {
  left_ = std::min(per_s_, left_ + per_s_ * static_cast<double>(now_ms - filled_ms_) / 1000);
  filled_ms_ = now_ms;
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

}  // namespace omig::cluster
