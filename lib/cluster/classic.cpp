// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/classic.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "lib/cluster/seed.h"

namespace omig::cluster {

namespace {

constexpr double kThreshold = 25;  // of openMosix' load units, as hysteresis
constexpr i64 kMinAge_ms = 1'000;  // also its residence: one decision a second
constexpr size_t kFew = 8;
constexpr double kMostLoad = 4;  // the load per CPU that the opportunity cost takes for full
constexpr double kOpportunityMargin = 1.25;

double told_load(const NodeLoad& n) { return std::max(n.told, 100 * n.load() / (n.cpus * n.speed)); }
double one_more(const NodeLoad& n) { return 100 / (n.cpus * n.speed); }

// openMosix kept the news of a few nodes only, others on every node. That also keeps nodes from all choosing the same
// one.
std::vector<NodeLoad> a_few(std::vector<NodeLoad> known, u64 seed) {
  std::ranges::sort(known, {}, [&](const NodeLoad& n) { return mix(seed ^ (u64{n.id} << 20)); });
  if (known.size() > kFew) known.resize(kFew);
  return known;
}

const Candidate* longest_running(const PlacementState& state) {
  const Candidate* longest = nullptr;
  for (const Candidate& c : state.running) {
    if (!c.movable || c.locked || (c.kind == JobKind::io && !c.away) || c.held || c.age_ms < kMinAge_ms ||
        c.resident_ms < kMinAge_ms)
      continue;
    if (longest == nullptr || c.age_ms > longest->age_ms) longest = &c;
  }
  return longest;
}

MoveDecision move_to(const Candidate& c, u32 target_id) {
  MoveDecision move{c.pid, c.home_id, target_id, std::max(c.demand, 0.1), c.rss_bytes};
  move.relief = std::numeric_limits<double>::max();  // the target does not weigh; it only needs the memory
  return move;
}

// What `w` more threads and `bytes` more memory raise the node's price by; both may be negative.
double price_change(const NodeLoad& n, double w, double bytes, double nodes) {
  const auto price = [&](double load, double used) {
    const double memory = n.total_bytes == 0 ? 0 : used / static_cast<double>(n.total_bytes);
    return std::pow(nodes, load / (n.cpus * kMostLoad)) / n.speed + std::pow(nodes, memory);
  };
  const double used = static_cast<double>(n.total_bytes) - static_cast<double>(n.free_bytes);
  return price(n.load() + w, used + bytes) - price(n.load(), used);
}

double node_count(const std::vector<NodeLoad>& known) { return static_cast<double>(known.size()) + 1; }

}  // namespace

std::vector<MoveDecision> decide_by_threshold(const PlacementState& state, u64 seed) {
  const Candidate* victim = longest_running(state);
  if (victim == nullptr) return {};
  const NodeLoad* best = nullptr;
  const auto rank = [&](const NodeLoad& n) { return std::pair(told_load(n) + one_more(n), mix(seed ^ n.id)); };
  const std::vector<NodeLoad> few = a_few(state.others, seed);
  for (const NodeLoad& n : few)
    if (n.id != state.self.id && has_memory(n, victim->rss_bytes) && (best == nullptr || rank(n) < rank(*best)))
      best = &n;
  const bool short_of_memory = !has_memory(state.self, 0);
  if (best == nullptr || (!short_of_memory && told_load(*best) + one_more(*best) + kThreshold > state.own_load))
    return {};
  return {move_to(*victim, best->id)};
}

std::vector<MoveDecision> decide_by_opportunity(const PlacementState& state, u64 seed) {
  const Candidate* victim = longest_running(state);
  if (victim == nullptr) return {};
  const double nodes = node_count(state.others), bytes = static_cast<double>(victim->rss_bytes);
  const double saved = -price_change(state.self, -1, -bytes, nodes);
  const NodeLoad* best = nullptr;
  const auto rank = [&](const NodeLoad& n) { return std::pair(price_change(n, 1, bytes, nodes), mix(seed ^ n.id)); };
  for (const NodeLoad& n : state.others)
    if (n.id != state.self.id && has_memory(n, victim->rss_bytes) && (best == nullptr || rank(n) < rank(*best)))
      best = &n;
  if (best == nullptr || rank(*best).first * kOpportunityMargin >= saved) return {};
  return {move_to(*victim, best->id)};
}

u32 least_loaded_start(const NodeLoad& self, const std::vector<NodeLoad>& known, u64 seed) {
  const bool fastest = std::ranges::none_of(known, [&](const NodeLoad& n) { return n.speed > self.speed; });
  if (fastest && self.load() + 1 <= self.cpus) return self.id;
  const NodeLoad* best = &self;
  const auto rank = [&](const NodeLoad& n) {
    const double load = n.id == self.id ? 100 * n.load() / (n.cpus * n.speed) : told_load(n);
    return std::tuple(load + one_more(n), n.id != self.id, mix(seed ^ n.id));
  };
  const std::vector<NodeLoad> few = a_few(known, seed);
  for (const NodeLoad& n : few)
    if (rank(n) < rank(*best)) best = &n;
  return best->id;
}

u32 least_opportunity_start(const NodeLoad& self, const std::vector<NodeLoad>& known, const Candidate& job, u64 seed) {
  const double nodes = node_count(known), bytes = static_cast<double>(job.rss_bytes);
  const NodeLoad* best = &self;
  const auto rank = [&](const NodeLoad& n) {
    return std::tuple(price_change(n, job.demand, bytes, nodes), n.id != self.id, mix(seed ^ n.id));
  };
  const std::vector<NodeLoad> few = a_few(known, seed);
  for (const NodeLoad& n : few)
    if (rank(n) < rank(*best)) best = &n;
  return best->id;
}

}  // namespace omig::cluster
