// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/start.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "lib/cluster/classic.h"
#include "lib/cluster/seed.h"

namespace omig::cluster {

namespace {

constexpr double kNowhere = std::numeric_limits<double>::max();
constexpr double kNotWorthAWait_s = 0.004;  // about what asking around took
constexpr double kLongestForMemory_s = 4;
constexpr u32 kLastOffers = 3;
constexpr double kAsFast = 1.0001;
constexpr double kLittle = 1.05;  // a penalty of being away that does not matter
constexpr double kAsTold = 1.15;  // an offer is good if the target is about as it said

class Start {
 public:
  Start(const StartView& view, u64 seed, const Policy& policy) : v_(view), seed_(seed), policy_(policy) {
    best_alone_ = alone_at(v_.home);
    for (const NodeLoad& n : v_.known) best_alone_ = std::min(best_alone_, alone_at(n));
    for (const NodeLoad& n : v_.answers) best_alone_ = std::min(best_alone_, alone_at(n));
    home_cost_ = cost_at(v_.home);
    at_once_ = home_cost_;
    for (const NodeLoad& n : v_.answers) at_once_ = std::min(at_once_, cost_at(n));
  }

  StartStep step() const {
    const bool free_here = v_.home.load() + v_.job.demand <= std::max(v_.home.cpus, v_.job.demand);
    if (home_cost_ <= ideal()) {
      const u32 roomier = free_here && leaves_easily() ? roomier_node() : 0;
      if (roomier == 0) return {};
      MoveDecision offer = offer_to(roomier, 1.1 * ideal());
      offer.own_cpu = true;
      return {StartStep::Kind::offer, offer};
    }
    if (const u32 next = next_to_ask(); next != 0) {
      MoveDecision offer = offer_to(next, 1.1 * ideal());  // the target wants a margin; between speeds lies more
      offer.own_cpu = true;
      return {StartStep::Kind::offer, offer};
    }
    if (at_once_ == kNowhere) return wait_for_memory();
    const double patience = std::min(policy_.longest_wait_s, policy_.patience_s * (at_once_ / ideal() - 1));
    if (patience - v_.waited_s > kNotWorthAWait_s) return wait(patience - v_.waited_s);
    return last_offer();
  }

 private:
  // What it costs where nobody else is. Less than a CPU (a quota) is a slow one.
  double alone_at(const NodeLoad& n) const { return slowness(v_.job.demand, n.cpus, n.speed); }
  double cost_at(const NodeLoad& n) const {
    if (!has_memory(n, v_.job.rss_bytes)) return kNowhere;
    return penalty_at(n.id) * cost_of_adding(n.load(), v_.job.demand, n.cpus, n.speed);
  }
  // The home of many needs its CPUs for those that are slow elsewhere.
  bool leaves_easily() const {
    return v_.job.calls_known && penalty_of(v_.job, 0, v_.links) < kLittle &&
           v_.home.load() + v_.job.demand + policy_.spare > v_.home.cpus;
  }
  u32 roomier_node() const {
    if (v_.asked.size() >= 2) return 0;
    std::tuple best{v_.home.load() - 1, u64{0}, u32{0}};
    for (const NodeLoad& n : v_.known)
      if (may_ask(n.id) && alone_at(n) <= best_alone_ * kAsFast && has_memory(n, v_.job.rss_bytes))
        best = std::min(best, std::tuple(n.load(), mix(seed_ ^ n.id), n.id));
    return std::get<2>(best);
  }
  // A crowd is slow until somebody in it ends; calls that travel are slow for a life, and keep a CPU for longer.
  double penalty_at(u32 id) const {
    return id == v_.home.id ? 1 : 1 + policy_.calls_cost * (penalty_of(v_.job, id, v_.links) - 1);
  }
  // A CPU of the fastest kind for it alone, away from home.
  double ideal() const { return best_alone_ * penalty_at(0); }

  MoveDecision offer_to(u32 id, double limit) const {
    MoveDecision offer{v_.job.pid, v_.job.home_id, id, v_.job.demand, v_.job.rss_bytes};
    offer.relief = limit;
    offer.penalty = penalty_at(id);
    return offer;
  }

  bool may_ask(u32 id) const { return id != v_.home.id && std::ranges::find(v_.asked, id) == v_.asked.end(); }

  // 0: everybody who should be asked has been.
  u32 next_to_ask() const {
    if (v_.asked.size() < policy_.shortlist) {
      std::tuple best{home_cost_, u64{0}, u32{0}};
      for (const NodeLoad& n : v_.known)
        if (may_ask(n.id)) best = std::min(best, std::tuple(cost_at(n), mix(seed_ ^ n.id), n.id));
      if (std::get<0>(best) < home_cost_) return std::get<2>(best);
    }
    if (v_.asked.size() < policy_.shortlist + policy_.strangers) {
      const auto it = std::ranges::find_if(v_.strangers, [&](u32 id) { return may_ask(id); });
      if (it != v_.strangers.end()) return *it;
    }
    return 0;
  }

  StartStep wait(double wait_s) const {
    StartStep step{StartStep::Kind::wait, offer_to(0, at_once_), wait_s};
    step.offer.penalty = penalty_at(0);
    step.offer.own_cpu = at_once_ != kNowhere;  // without memory anywhere, a place is enough
    for (const NodeLoad& n : v_.answers)
      if (alone_at(n) * step.offer.penalty < at_once_) step.notes.push_back(n.id);
    return step;
  }

  // No room anywhere: ever less often asked, and not for ever. At home it then takes its turn by age, so that the large
  // are not passed over for good by the small that still fit.
  StartStep wait_for_memory() const {
    if (v_.waited_s >= kLongestForMemory_s) return {};
    return wait(std::max(policy_.longest_wait_s, v_.waited_s));
  }

  StartStep last_offer() const {
    const NodeLoad* best = nullptr;
    for (const NodeLoad& n : v_.answers)
      if (cost_at(n) < home_cost_ && (best == nullptr || cost_at(n) < cost_at(*best))) best = &n;
    if (best != nullptr && v_.last_offers < kLastOffers)
      return {StartStep::Kind::offer,
              offer_to(best->id, kAsTold * penalty_at(best->id) *
                                     cost_of_adding(best->load(), v_.job.demand, best->cpus, best->speed))};
    return home_cost_ == kNowhere ? wait_for_memory() : StartStep{};
  }

  const StartView& v_;
  u64 seed_;
  const Policy& policy_;
  double best_alone_, home_cost_, at_once_;
};

}  // namespace

StartStep next_step(const StartView& view, u64 seed, const Policy& policy) {
  const auto at = [&](u32 id) {
    StartStep step;
    if (id == view.home.id) return step;
    step.kind = StartStep::Kind::offer;
    step.offer = {view.job.pid, view.job.home_id, id, view.job.demand, 0};
    step.offer.urgent = true;  // these rules do not ask
    return step;
  };
  switch (policy.start) {
    case StartRule::home: return {};
    case StartRule::round_robin: return view.strangers.empty() ? StartStep{} : at(view.strangers.front());
    case StartRule::least_loaded: return at(least_loaded_start(view.home, view.known, seed));
    case StartRule::opportunity: return at(least_opportunity_start(view.home, view.known, view.job, seed));
    case StartRule::probe: break;
  }
  return Start(view, seed, policy).step();
}

}  // namespace omig::cluster
