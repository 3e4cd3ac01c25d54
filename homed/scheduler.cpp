// SPDX-License-Identifier: Apache-2.0
#include "homed/scheduler.h"

#include <algorithm>

namespace omig {

namespace {

constexpr i64 kTick_ms = 1'000;
constexpr i64 kSoonest_ms = 200;  // between two decisions, however much news there is
constexpr u32 kMovesAtOnce = 8;   // a program that forks ten children spreads in one wave
constexpr i64 kBarAfterNoPlace_ms = 700;

cluster::Candidate candidate_of(const Daemon& d, const Process& p, i64 now) {
  cluster::Candidate c;
  c.pid = p.pid;
  c.home_id = d.config.id;
  c.demand = p.meter.demand();
  c.samples = p.meter.samples();
  c.age_ms = static_cast<i64>(p.age_ms);
  c.resident_ms = p.since_ms == 0 ? c.age_ms : now - p.since_ms;
  c.moves = p.moves;
  c.rss_bytes = p.rss_bytes;
  c.calls_per_s = p.calls_per_s;
  c.movable =
      now >= p.barred_until_ms && p.state != 'T' && p.state != 't' && !d.moving.contains({d.config.name, p.pid});
  return c;
}

cluster::Candidate candidate_of(const Daemon& d, const VisitorKey& key, const Visitor& v, i64 now) {
  cluster::Candidate c;
  c.pid = v.pid;
  const cluster::Seen* home = d.window.find(v.home);
  c.home_id = home == nullptr ? 0 : home->entry.id;
  c.demand = v.meter.demand();
  c.samples = v.meter.samples();
  c.age_ms = static_cast<i64>(v.since_ms);
  c.resident_ms = static_cast<i64>(v.since_ms);
  c.moves = std::max(1u, v.moves);
  c.rss_bytes = v.rss_bytes;
  c.calls_per_s = v.calls_per_s;
  c.movable = home != nullptr && now >= v.barred_until_ms && !d.moving.contains(key);
  return c;
}

}  // namespace

cluster::PlacementState placement_state(Daemon& d) {
  const i64 now = now_ms();
  cluster::PlacementState state;
  state.self = own_entry(d);
  state.own_load = d.average.own();
  for (const auto& [id, seen] : d.window.all())
    if (seen.alive(now) && seen.entry.accepts && seen.entry.version == wire::kVersion)
      state.others.push_back(seen.entry);
  for (const auto& [pid, p] : d.processes.all())
    if (p.where == Where::home) state.running.push_back(candidate_of(d, p, now));
  for (const auto& [key, v] : d.visitors.all()) state.running.push_back(candidate_of(d, key, v, now));
  return state;
}

std::optional<cluster::Seen> best_place(Daemon& d, const VisitorKey& key) {
  u32 home_id = d.config.id;
  if (key.home != d.config.name) {
    const cluster::Seen* home = d.window.find(key.home);
    if (home == nullptr) return std::nullopt;
    home_id = home->entry.id;
  }
  // A process of ours that is away is judged by the node it is on; from here there is nothing better to say.
  const auto decisions = cluster::decide_for(placement_state(d), key.pid, home_id, d.entry_seq);
  if (decisions.empty()) return std::nullopt;
  const cluster::Seen* target = d.window.find(decisions.front().target_id);
  return target == nullptr ? std::nullopt : std::optional(*target);
}

void Scheduler::poke() {
  poked_ = true;
  timer_.cancel();
}

awaitable<void> Scheduler::run() {
  for (;;) {
    // News that come right after a decision wait for the soonest next one, not for the next tick.
    const i64 next_ms = decided_ms_ + (poked_ ? kSoonest_ms : kTick_ms);
    if (const i64 left_ms = next_ms - now_ms(); left_ms > 0) {
      co_await net::pause(timer_, milliseconds(left_ms));
      continue;
    }
    poked_ = false;
    decided_ms_ = now_ms();
    if (decided_ms_ >= sampled_ms_ + kTick_ms) {
      sampled_ms_ = decided_ms_;
      d_.average.sample(own_entry(d_).load(), d_.config.cpus, d_.config.speed);
    }
    if (d_.config.balance) decide();
  }
}

void Scheduler::decide() {
  cluster::PlacementState state = placement_state(d_);
  if (state.others.empty() || in_flight_ >= kMovesAtOnce) return;
  state.moves_left = kMovesAtOnce - in_flight_;
  for (const auto& decision : cluster::decide(state, d_.incarnation + rounds_++)) {
    VisitorKey key{d_.config.name, decision.pid};
    if (decision.home_id != d_.config.id) {
      const cluster::Seen* home = d_.window.find(decision.home_id);
      if (home == nullptr) continue;
      key.home = home->entry.name;
    }
    ++in_flight_;
    spawn(d_, fmt::format("moving {} of {}", key.pid, key.home), carry_out(decision, key));
  }
}

awaitable<void> Scheduler::carry_out(cluster::MoveDecision decision, VisitorKey key) {
  // The count must come down however this ends.
  struct Count {
    u32& value;
    ~Count() { --value; }
  } const count{in_flight_};
  // Until the target has answered nobody else may pick it; the Moving of the move itself takes over then.
  d_.moving[key] = now_ms();
  const bool placed = co_await moves_.reserve(decision, key.home);
  d_.moving.erase(key);
  const cluster::Seen* target = d_.window.find(decision.target_id);
  if (!placed || target == nullptr) {
    const i64 until = now_ms() + kBarAfterNoPlace_ms;
    if (key.home == d_.config.name) {
      if (const auto it = d_.processes.all().find(key.pid); it != d_.processes.all().end())
        it->second.barred_until_ms = until;
    } else if (const auto it = d_.visitors.all().find(key); it != d_.visitors.all().end()) {
      it->second.barred_until_ms = until;
    }
    co_return;
  }
  const cluster::Seen copy = *target;
  const MoveResult result = co_await moves_.carry_out(key, copy);
  if (result.ok) poke();
}

}  // namespace omig
