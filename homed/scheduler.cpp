// SPDX-License-Identifier: Apache-2.0
#include "homed/scheduler.h"

#include <algorithm>

#include "lib/cluster/explain.h"

namespace omig {

namespace {

constexpr i64 kTick_ms = 1'000;
constexpr i64 kSoonest_ms = 200;  // between two decisions, however much news there is
constexpr i64 kBarAfterNoPlace_ms = 700;
constexpr i64 kShown_ms = 1'000;  // until then a process is judged by what its program did before

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
  c.bytes_per_s = p.bytes_per_s;
  c.cpu_per_s = p.cpu_per_s;
  const cluster::Program* known = d.programs.find(p.program);
  if (c.age_ms < kShown_ms && known != nullptr) {  // what it did before, with a CPU, says more
    c.calls_per_s = std::max(c.calls_per_s, known->calls_per_s);
    c.bytes_per_s = std::max(c.bytes_per_s, known->bytes_per_s);
    c.cpu_per_s = 1;
  }
  c.interactive = interactive(p, now);
  c.locked = p.job.locked;
  c.kind = p.job.kind;
  // A shell that was seen running for its first moment is none the less one that mostly waits.
  const bool waits = c.age_ms < kShown_ms && cluster::waits_mostly(known);
  c.movable = !waits && now >= p.barred_until_ms && p.state != 'T' && p.state != 't' &&
              !d.moving.contains({d.config.name, p.pid});
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
  c.cpu_per_s = v.cpu_per_s;
  c.away = true;
  c.locked = v.job.locked;
  c.kind = v.job.kind;
  c.movable = home != nullptr && now >= v.barred_until_ms && !d.moving.contains(key);
  return c;
}

}  // namespace

cluster::PlacementState placement_state(Daemon& d) {
  const i64 now = now_ms();
  cluster::PlacementState state;
  state.self = own_entry(d);
  state.own_load = d.average.own();
  state.links = d.links;
  for (const auto& [id, seen] : d.window.all())
    if (seen.alive(now) && seen.entry.accepts && seen.entry.versions.meet(wire::kSpoken))
      state.others.push_back(seen.entry);
  for (const auto& [pid, p] : d.processes.all())
    if (p.where == Where::home) state.running.push_back(candidate_of(d, p, now));
  if (d.settings.stay || d.settings.lstay)
    for (cluster::Candidate& own : state.running) own.movable = false;
  for (const auto& [key, v] : d.visitors.all()) {
    state.running.push_back(candidate_of(d, key, v, now));
    if (d.settings.stay) state.running.back().movable = false;
  }
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

MoveRecord record_of(Daemon& d, const cluster::MoveDecision& decision, const VisitorKey& key, std::string cause,
                     std::string reason) {
  constexpr size_t kMostCommand = 120;
  MoveRecord record;
  record.pid = key.pid;
  record.home = key.home;
  if (const auto it = d.visitors.all().find(key); it != d.visitors.all().end()) record.command = it->second.command;
  if (key.home == d.config.name) record.command = command_line(key.pid);
  if (record.command.size() > kMostCommand) record.command.resize(kMostCommand);
  record.from = d.config.name;
  record.to = node_name(d, decision.target_id);
  record.cause = std::move(cause);
  record.reason = std::move(reason);
  return record;
}

MoveRecord concluded(MoveRecord record, const MoveResult& result) {
  record.ok = result.ok;
  record.outcome = result.ok ? "moved" : result.reason;
  if (const auto it = result.figures.find("freeze_ms"); it != result.figures.end() && it->is_number())
    record.freeze_ms = it->get<double>();
  return record;
}

void bar(Daemon& d, const VisitorKey& key, i64 until_ms) {
  if (key.home == d.config.name) {
    const auto it = d.processes.all().find(key.pid);
    if (it != d.processes.all().end()) it->second.barred_until_ms = until_ms;
  } else if (const auto it = d.visitors.all().find(key); it != d.visitors.all().end()) {
    it->second.barred_until_ms = until_ms;
  }
}

std::string explanation(Daemon& d, const VisitorKey& key) {
  const cluster::PlacementState state = placement_state(d);
  const cluster::Seen* home = d.window.find(key.home);
  const u32 home_id = key.home == d.config.name ? d.config.id : home == nullptr ? 0 : home->entry.id;
  for (const cluster::Candidate& c : state.running) {
    if (c.pid != key.pid || c.home_id != home_id) continue;
    std::string text = cluster::explain(state, c, *d.config.policy, [&](u32 id) { return node_name(d, id); });
    if (d.settings.stay || (d.settings.lstay && !c.away))
      text += fmt::format(" No process{} leaves this node by itself ({}).", d.settings.stay ? "" : " of its own",
                          d.settings.stay ? "stay" : "lstay");
    if (!d.config.balance) text += " But this node moves nothing by itself (--no-balance).";
    return text;
  }
  return "";
}

bool has_turn(const Daemon& d, u64 bytes) {
  return d.on_their_way < kMovesAtOnce && (d.bytes_on_their_way == 0 || d.bytes_on_their_way + bytes <= kBytesAtOnce);
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
      d_.window.forget_old(decided_ms_);
      d_.average.sample(own_entry(d_).load(), d_.config.cpus, d_.config.speed);
    }
    if (d_.config.balance) decide();
  }
}

void Scheduler::decide() {
  cluster::PlacementState state = placement_state(d_);
  if (state.others.empty() || d_.on_their_way >= kMovesAtOnce) return;
  state.moves_left = kMovesAtOnce - d_.on_their_way;
  for (const auto& decision : cluster::decide(state, d_.incarnation + rounds_++, *d_.config.policy)) {
    VisitorKey key{d_.config.name, decision.pid};
    if (decision.home_id != d_.config.id) {
      const cluster::Seen* home = d_.window.find(decision.home_id);
      if (home == nullptr) continue;
      key.home = home->entry.name;
    }
    // Those that follow are chosen anew when it is their turn.
    if (!has_turn(d_, decision.rss_bytes)) break;
    const auto name = [&](u32 id) { return node_name(d_, id); };
    spawn(d_, fmt::format("moving {} of {}", key.pid, key.home),
          carry_out(decision, key, record_of(d_, decision, key, "push", cluster::reason_of(decision, state, name)),
                    std::make_shared<OnItsWay>(d_, decision.rss_bytes)));
  }
}

awaitable<void> Scheduler::carry_out(cluster::MoveDecision decision, VisitorKey key, MoveRecord record,
                                     std::shared_ptr<OnItsWay> counted) {
  // Until the target has answered nobody else may pick it; the Moving of the move itself takes over then.
  d_.moving[key] = now_ms();
  record.outcome = co_await moves_.reserve(decision, key.home);
  d_.moving.erase(key);
  const cluster::Seen* target = d_.window.find(decision.target_id);
  if (!record.outcome.empty() || target == nullptr) {
    bar(d_, key, now_ms() + kBarAfterNoPlace_ms);
    d_.history.add(std::move(record));
    co_return;
  }
  const cluster::Seen copy = *target;
  const MoveResult result = co_await moves_.carry_out(key, copy);
  d_.history.add(concluded(std::move(record), result));
  counted.reset();
  if (result.ok) poke();
}

}  // namespace omig
