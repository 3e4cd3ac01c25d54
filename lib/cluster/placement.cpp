// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/placement.h"

#include <algorithm>
#include <limits>

namespace omig::cluster {

namespace {

constexpr i64 kMinAge_ms = 400;  // a child that will end at once is not worth a move
constexpr u32 kMinSamples = 2;
constexpr double kMinDemand = 0.5;
constexpr i64 kMinResidence_ms = 1'500;  // at a node it has come to; doubled by every further move
constexpr i64 kMaxResidence_ms = 60'000;
constexpr double kMargin = 0.05;      // of the source's relief, kept as hysteresis
constexpr double kAwayPenalty = 1.1;  // forwarded calls cost something, unknown how much
constexpr double kAwayChattyPenalty = 2.0;
constexpr double kHomeBonus = 0.9;  // for one that makes calls; a quiet guest has no reason to prefer home
constexpr double kHomeChattyBonus = 0.5;
constexpr double kQuiet_per_s = 200;     // forwarded calls that do not matter
constexpr double kChatty_per_s = 2'000;  // forwarded calls at which being away hurts
constexpr double kMemoryReserve = 0.05;  // of a target's memory stays free
constexpr double kMoveFixed_s = 0.005;
constexpr double kMoveBytes_per_s = 1e9;
constexpr double kMoveCharge = 6;  // POLICY.md: charge a move six times its plain cost

u64 mix(u64 x) {  // splitmix64: ties between equal targets must not fall the same way on every node
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

bool worthwhile(double relief, double cost, double penalty) { return relief * (1 - kMargin) > cost * penalty; }

bool has_memory(const NodeEntry& target, u64 bytes) {
  if (target.total_bytes == 0) return true;
  const double left = static_cast<double>(target.free_bytes) - static_cast<double>(bytes);
  return left >= kMemoryReserve * static_cast<double>(target.total_bytes);
}

double penalty_of(const Candidate& c, u32 target_id) {
  const bool chatty = c.calls_per_s > kChatty_per_s;
  if (target_id == c.home_id) return chatty ? kHomeChattyBonus : c.calls_per_s > kQuiet_per_s ? kHomeBonus : 1.0;
  return chatty ? kAwayChattyPenalty : kAwayPenalty;
}

i64 residence_needed_ms(const Candidate& c) {
  if (c.moves == 0) return 0;
  i64 needed = kMinResidence_ms;
  for (u32 i = 1; i < c.moves && needed < kMaxResidence_ms; ++i) needed *= 2;
  return std::min(needed, kMaxResidence_ms);
}

bool ripe(const Candidate& c) {
  return c.movable && c.age_ms >= kMinAge_ms && c.samples >= kMinSamples && c.demand >= kMinDemand &&
         c.resident_ms >= residence_needed_ms(c);
}

// Seconds of slowness saved over the process' expected remaining time (as long as it has lived: lifetimes are
// heavy-tailed), less the charge for the move itself.
double gain_of(const Candidate& c, double relief, double cost, double penalty) {
  const double expected_s = std::clamp(static_cast<double>(c.age_ms) / 1000, 0.2, 10.0);
  const double move_s = kMoveFixed_s + static_cast<double>(c.rss_bytes) / kMoveBytes_per_s;
  return (relief - penalty * cost) * expected_s - kMoveCharge * move_s;
}

struct Best {
  double gain = 0;
  u64 tie = 0;
  const Candidate* candidate = nullptr;
  NodeEntry* target = nullptr;
  MoveDecision move;
};

void consider(const Candidate& c, const NodeEntry& self, NodeEntry& target, u64 seed, Best& best) {
  if (target.id == self.id || !has_memory(target, c.rss_bytes)) return;
  const double w = std::max(c.demand, 0.1);
  const double relief = relief_of_removing(self.load(), w, self.cpus, self.speed);
  const double cost = cost_of_adding(target.load(), w, target.cpus, target.speed);
  const double penalty = penalty_of(c, target.id);
  if (!worthwhile(relief, cost, penalty)) return;
  const double gain = gain_of(c, relief, cost, penalty);
  const u64 tie = mix(seed ^ (u64{target.id} << 32) ^ static_cast<u32>(c.pid));
  if (gain <= 0 || (best.candidate != nullptr && std::pair(gain, tie) <= std::pair(best.gain, best.tie))) return;
  best = {gain, tie, &c, &target, {c.pid, c.home_id, target.id, w, c.rss_bytes, relief, penalty}};
}

template <class Eligible>
std::vector<MoveDecision> choose(PlacementState state, u64 seed, u32 limit, Eligible eligible) {
  std::vector<MoveDecision> moves;
  std::vector<const Candidate*> open;
  for (const Candidate& c : state.running)
    if (eligible(c)) open.push_back(&c);
  while (moves.size() < limit && !open.empty()) {
    Best best;
    for (const Candidate* c : open)
      for (NodeEntry& target : state.others) consider(*c, state.self, target, seed, best);
    if (best.candidate == nullptr) break;
    // From here on the state is as if the move were done.
    state.self.runnable = std::max(0.0, state.self.runnable - best.move.demand);
    best.target->reserved += best.move.demand;
    best.target->free_bytes -= std::min(best.target->free_bytes, best.move.rss_bytes);
    std::erase(open, best.candidate);
    moves.push_back(best.move);
  }
  return moves;
}

}  // namespace

std::vector<MoveDecision> decide(const PlacementState& state, u64 seed) {
  return choose(state, seed, state.moves_left, ripe);
}

std::vector<MoveDecision> decide_for(const PlacementState& state, i32 pid, u32 home_id, u64 seed) {
  return choose(state, seed, 1, [&](const Candidate& c) { return c.pid == pid && c.home_id == home_id; });
}

bool accepts(const NodeEntry& target, const MoveDecision& move) {
  if (!target.accepts || !has_memory(target, move.rss_bytes)) return false;
  const double cost = cost_of_adding(target.load(), move.demand, target.cpus, target.speed);
  return worthwhile(move.relief, cost, move.penalty);
}

}  // namespace omig::cluster
