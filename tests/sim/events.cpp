// SPDX-License-Identifier: Apache-2.0
// Time, gossip, failures: what happens without anybody having decided it.
#include <algorithm>
#include <cmath>

#include "tests/sim/simulation.h"

namespace omig::sim {

namespace {

constexpr double kDrain_s =
    60;  // after the last arrival, at most as long as those took; whoever still runs is reckoned to go on as it does
constexpr double kMostPerCpu = 12;  // processes; beyond that nothing is measured any more but patience
constexpr double kDone_s = 1e-7;    // of demand left is none
constexpr double kBackAfter_s = 60;
constexpr double kEvenWithin = 0.05;  // of the processes are not where an even spread would have them
constexpr double kLongestSpread_s = 600;

}  // namespace

Simulation::Simulation(const Scenario& s, const cluster::Policy& policy, const std::vector<Work>& trace)
    : s_(s), policy_(policy), trace_(trace), chance_(cluster::mix(s.seed ^ 0x51)), jobs_(trace.size()) {
  nodes_.reserve(s.nodes);
  for (u32 id = 1; id <= s.nodes; ++id) {
    nodes_.emplace_back(s, id);
    at(chance_.unit(), Kind::tick, id);
    if (s.failures_per_h > 0) at(-std::log(1 - chance_.unit()) * 3600 / s.failures_per_h, Kind::failure, id);
  }
  for (size_t i = 0; i < trace.size(); ++i) {
    jobs_[i].work = &trace[i];
    jobs_[i].left_s = trace[i].demand_s;
  }
  if (!trace.empty()) at(trace[0].at_s, Kind::arrival, trace[0].home, 0);
}

void Simulation::at(double at_s, Kind kind, u32 node, u32 job, u32 generation) {
  events_.push({at_s, events_made_++, kind, node, job, generation});
}

void Simulation::send(Kind kind, u32 to, u32 job, u32 generation) {
  ++out_.counts.asking;
  if (chance_.unit() < s_.loss) {
    ++out_.counts.lost_messages;
    return;
  }
  // Half of it is the wire, the rest has a tail.
  const double delay_s = s_.delay_s * (0.5 - 0.5 * std::log(1 - chance_.unit()));
  at(now_s_ + delay_s, kind, to, job, generation);
}

Outcome Simulation::run() {
  const double end_s = s_.all_on_one ? kLongestSpread_s : s_.time_s + std::min(kDrain_s, s_.time_s);
  const double most = kMostPerCpu * kCpusPerNode * s_.nodes + 200;
  while (!events_.empty() && ended_ < jobs_.size()) {
    const Event e = events_.top();
    events_.pop();
    if (e.at_s > end_s) break;
    now_s_ = e.at_s;
    handle(e);
    if (s_.all_on_one && e.kind == Kind::move_ends && even()) break;
    if (!s_.all_on_one && static_cast<double>(alive_) > most) {
      out_.diverged = true;
      break;
    }
  }
  if (s_.all_on_one) out_.even_s = now_s_;
  out_.slowdowns.resize(jobs_.size());
  for (Node& n : nodes_) n.advance(jobs_, now_s_);
  for (size_t i = 0; i < jobs_.size(); ++i) {
    const Job& j = jobs_[i];
    if (j.state == State::done) out_.slowdowns[i] = (j.ended_s - j.work->at_s) / j.work->demand_s;
    if (j.state != State::here || out_.diverged) continue;
    const double pace = j.rate > 0 && !j.held ? j.rate : 1 / kPagingSlowdown;
    out_.slowdowns[i] = (now_s_ - j.work->at_s + std::max(0.0, j.left_s) / pace) / j.work->demand_s;
  }
  return std::move(out_);
}

void Simulation::handle(const Event& e) {
  // A message to a node that is down is lost; what a process waits for is void once it waits for something else.
  const auto ours = [&] { return jobs_[e.job].generation == e.generation; };
  switch (e.kind) {
    case Kind::arrival: arrive(e.job); break;
    case Kind::tick: tick(e.node); break;
    case Kind::plan:
      if (node(e.node).generation == e.generation) settle(node(e.node));
      break;
    case Kind::offer:
      if (ours() && node(e.node).up) take_offer(e.node, e.job);
      break;
    case Kind::answer:
    case Kind::no_answer:
      if (ours()) take_answer(e.job, e.kind == Kind::answer);
      break;
    case Kind::started:
      if (!ours()) break;
      if (node(e.node).up) {
        start(e.node, e.job);
      } else {
        lose(e.job);
      }
      break;
    case Kind::wait_ends:
      if (ours() && jobs_[e.job].state == State::waiting) wait_ends(e.job);
      break;
    case Kind::note:
      if (ours() && node(e.node).up) take_note(node(e.node), e.job);
      break;
    case Kind::call: take_call(e.node, e.job, e.generation); break;
    case Kind::no_thanks:
      node(e.node).drop_place(e.job);
      offer_room(node(e.node));
      break;
    case Kind::pull:
      if (node(e.node).up) answer_pull(e.node, e.job);
      break;
    case Kind::pull_next:
      if (node(e.node).pulling && node(e.node).pull_generation == e.generation) pull_next(node(e.node));
      break;
    case Kind::move_begins:
      if (ours()) begin_move(e.job);
      break;
    case Kind::move_ends:
      if (ours()) end_move(e.job);
      break;
    case Kind::failure: fail(e.node); break;
    case Kind::back: come_back(e.node); break;
  }
}

void Simulation::arrive(u32 job) {
  if (job + 1 < jobs_.size()) at(trace_[job + 1].at_s, Kind::arrival, trace_[job + 1].home, job + 1);
  ++alive_;
  if (s_.all_on_one) {
    start(1, job);
  } else if (node(trace_[job].home).up) {
    ask_for_start(job);
  } else {
    lose(job);
  }
}

void Simulation::tick(u32 id) {
  Node& n = node(id);
  at(now_s_ + 1, Kind::tick, id);
  if (!n.up) return;
  n.average.sample(n.load(jobs_, now_s_).load(), n.cpus, n.speed);
  gossip(n);
  push(n);
  usher(n);
  maybe_pull(n);
}

void Simulation::gossip(Node& from) {
  double age_ms = 0;
  for (const auto& [id, heard] : from.window.all()) age_ms += static_cast<double>(now_ms() - heard.produced_ms);
  if (!from.window.all().empty())
    out_.counts.news_age_s += age_ms / 1000 / static_cast<double>(from.window.all().size());
  ++out_.counts.ticks;

  const NodeLoad own = from.load(jobs_, now_s_);
  const auto tell = [&](Node& to) {
    ++out_.counts.gossip;
    if (!to.up || chance_.unit() < s_.loss) return;
    to.window.merge(own, 0, now_ms());
    for (const auto* heard : from.window.freshest(cluster::kWindow - 1))
      if (heard->entry.id != to.id) to.window.merge(heard->entry, now_ms() - heard->produced_ms, now_ms());
  };
  if (s_.nodes <= cluster::kWholeVector) {
    for (Node& to : nodes_)
      if (to.id != from.id) tell(to);
  } else {
    const u32 other = 1 + chance_.below(s_.nodes - 1);
    tell(node(other >= from.id ? other + 1 : other));
  }
}

void Simulation::settle(Node& n) {
  n.advance(jobs_, now_s_);
  std::vector<u32> finished;
  for (const u32 i : n.here)
    if (jobs_[i].state == State::here && jobs_[i].left_s <= kDone_s) finished.push_back(i);
  for (const u32 i : finished) {
    Job& j = jobs_[i];
    n.remove(i);
    if (j.booked) node(j.target).drop_place(i);
    j.state = State::done;
    j.ended_s = now_s_;
    j.asking.reset();
    ++j.generation;
    --alive_;
    ++ended_;
  }
  if (policy_.hold && n.review_memory(jobs_)) usher(n);
  const double next_s = n.share_out(jobs_, policy_);
  ++n.generation;
  if (std::isfinite(next_s)) at(now_s_ + next_s, Kind::plan, n.id, 0, n.generation);
  offer_room(n);
  maybe_pull(n);
}

void Simulation::lose(u32 job) {
  Job& j = jobs_[job];
  if (j.state == State::done || j.state == State::lost) return;
  if (j.state == State::here || j.state == State::moving) {
    Node& n = node(j.at);
    n.advance(jobs_, now_s_);
    n.remove(job);
  }
  if (j.state == State::waiting) std::erase(node(j.work->home).waiting, job);
  if (j.booked) node(j.target).drop_place(job);
  j.state = State::lost;
  j.asking.reset();
  ++j.generation;
  --alive_;
  ++ended_;
  ++out_.counts.lost_processes;
}

void Simulation::fail(u32 id) {
  Node& dead = node(id);
  dead.up = false;
  ++dead.generation;
  std::vector<u32> hurt;  // nodes that have lost guests of the dead one
  for (u32 i = 0; i < jobs_.size(); ++i) {
    const Job& j = jobs_[i];
    if (j.state == State::coming || j.state == State::done || j.state == State::lost) continue;
    const bool here = (j.state == State::here || j.state == State::moving) && j.at == id;
    if (!here && j.work->home != id) continue;
    if (!here && (j.state == State::here || j.state == State::moving)) hurt.push_back(j.at);
    lose(i);
  }
  dead.promises.clear();
  dead.notes.clear();
  for (const u32 other : hurt) settle(node(other));
  at(now_s_ + kBackAfter_s, Kind::back, id);
}

void Simulation::come_back(u32 id) {
  Node& n = node(id);
  n.up = true;
  ++n.incarnation;
  n.seq = 0;
  n.window = cluster::Gossip<NodeLoad>(cluster::kWindow);
  n.pulling = false;
  n.advanced_s = now_s_;
  at(now_s_ - std::log(1 - chance_.unit()) * 3600 / s_.failures_per_h, Kind::failure, id);
}

bool Simulation::even() const {
  // Who has a CPU to itself is well placed, however few the others are.
  const double fair = std::max(kCpusPerNode, static_cast<double>(jobs_.size()) / static_cast<double>(nodes_.size()));
  double misplaced = 0;
  for (const Node& n : nodes_) misplaced += std::max(0.0, static_cast<double>(n.here.size()) - fair);
  return misplaced <= kEvenWithin * static_cast<double>(jobs_.size());
}

Outcome simulate(const Scenario& s, const cluster::Policy& policy, const std::vector<Work>& trace) {
  return Simulation(s, policy, trace).run();
}

}  // namespace omig::sim
