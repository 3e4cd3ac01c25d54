// SPDX-License-Identifier: Apache-2.0
// Who asks whom: starting, pushing, pulling, ushering, as homed does it over the network.
#include <algorithm>
#include <chrono>

#include "tests/sim/simulation.h"

namespace omig::sim {

namespace {

constexpr double kAnswerWithin_s = 0.05;
constexpr double kPlaceKept_s = 1;
constexpr double kMostBooked_s = 1;  // a link booked further ahead takes no more pushes
constexpr double kUsherPause_s = 0.1;
constexpr double kPullSoonest_s = 0.02;
constexpr double kPullLatest_s = 1;
constexpr size_t kMostNotes = 64;
constexpr size_t kPullAsks = 3;
constexpr size_t kUsherAsks = 3;

}  // namespace

template <class Decide>
auto Simulation::timed(Decide decide) {
  const auto begin = std::chrono::steady_clock::now();
  auto result = decide();
  out_.counts.decision_ns += static_cast<u64>((std::chrono::steady_clock::now() - begin).count());
  ++out_.counts.decisions;
  return result;
}

cluster::Candidate Simulation::candidate(u32 job) const {
  const Job& j = jobs_[job];
  const bool seen = j.work->known || j.used_s > 1;  // a second is enough to tell its habits
  cluster::Candidate c;
  c.pid = static_cast<i32>(job);
  c.home_id = j.work->home;
  c.demand = 1;
  c.samples = 10;
  c.age_ms = static_cast<i64>((now_s_ - j.started_s) * 1000);
  c.started = j.used_s > 0;
  c.resident_ms = static_cast<i64>((now_s_ - j.came_s) * 1000);
  c.moves = j.moves;
  c.rss_bytes = j.state == State::here ? j.work->bytes : j.work->believed_bytes;
  c.calls_per_s = j.work->io && seen ? kIoCalls_per_s : 0;
  c.calls_known = seen;
  c.movable = j.state == State::waiting || (!j.booked && j.asking == nullptr);
  c.held = j.held || j.state == State::waiting;
  return c;
}

std::vector<NodeLoad> Simulation::known_to(const Node& n) {
  std::vector<NodeLoad> known;
  known.reserve(n.window.all().size());
  for (const auto& [id, heard] : n.window.all())
    if (heard.alive(now_ms()) && heard.entry.accepts) known.push_back(heard.entry);
  return known;
}

cluster::PlacementState Simulation::placement_state(Node& n) {
  n.advance(jobs_, now_s_);
  cluster::PlacementState state;
  state.self = n.load(jobs_, now_s_);
  for (const u32 i : n.here)
    if (jobs_[i].state == State::here) state.running.push_back(candidate(i));
  for (const u32 i : n.waiting) state.running.push_back(candidate(i));
  state.moves_left = policy_.pushes;
  state.own_load = n.average.own();
  state.link_wait_s = std::max(0.0, n.link_free_s - now_s_);
  return state;
}

// ---- starting

void Simulation::ask_for_start(u32 job) {
  Job& j = jobs_[job];
  j.asking = std::make_unique<Asking>();
  j.asking->view.job = candidate(job);
  look_around(job);
}

void Simulation::look_around(u32 job) {
  Job& j = jobs_[job];
  Node& home = node(j.work->home);
  cluster::StartView& view = j.asking->view;
  j.state = State::starting;
  view.known = known_to(home);
  view.answers.clear();
  view.asked.clear();
  view.strangers.clear();
  for (u32 i = 0; i < 2 * policy_.strangers; ++i) view.strangers.push_back(1 + chance_.below(s_.nodes));
  if (policy_.start == cluster::StartRule::round_robin) view.strangers = {1 + home.turn++ % s_.nodes};
  proceed(job);
}

void Simulation::proceed(u32 job) {
  Job& j = jobs_[job];
  Node& home = node(j.work->home);
  Asking& asking = *j.asking;
  asking.view.home = home.load(jobs_, now_s_);
  const auto step = timed([&] { return cluster::next_step(asking.view, chance_.next(), policy_); });
  asking.offer = step.offer;
  ++j.generation;
  switch (step.kind) {
    case cluster::StartStep::Kind::here: start(home.id, job); break;
    case cluster::StartStep::Kind::offer:
      if (policy_.start != cluster::StartRule::probe) {
        depart(job, step.offer.target_id);
        break;
      }
      asking.view.asked.push_back(step.offer.target_id);
      if (!step.offer.own_cpu) ++asking.view.last_offers;
      ask(job);
      break;
    case cluster::StartStep::Kind::wait:
      j.state = State::waiting;
      home.waiting.push_back(job);
      asking.wait_began_s = now_s_;
      asking.note_until_s = now_s_ + step.wait_s;
      asking.offer.penalty = 1;
      take_note(home, job);
      asking.offer = step.offer;
      for (const u32 other : step.notes) send(Kind::note, other, job, j.generation);
      at(now_s_ + step.wait_s, Kind::wait_ends, home.id, job, j.generation);
      break;
  }
}

void Simulation::ask(u32 job) {
  const Job& j = jobs_[job];
  send(Kind::offer, j.asking->offer.target_id, job, j.generation);
  at(now_s_ + kAnswerWithin_s, Kind::no_answer, j.at, job, j.generation);
}

// A new process goes where a place is kept for it.
void Simulation::depart(u32 job, u32 target) {
  Job& j = jobs_[job];
  j.state = State::starting;
  ++j.generation;
  ++out_.counts.asking;
  if (target != j.work->home) ++out_.counts.starts_away;
  // What we know of the target counts this one before its own news do.
  if (auto* heard = node(j.work->home).window.find(target)) heard->entry.reserved += 1;
  at(now_s_ + s_.delay_s + kMoveFixed_s, Kind::started, target, job, j.generation);
}

void Simulation::take_offer(u32 id, u32 job) {
  Node& n = node(id);
  Job& j = jobs_[job];
  const bool agreed = timed([&] { return cluster::accepts(n.load(jobs_, now_s_), j.asking->offer); }) &&
                      (j.state == State::starting || n.tokens.take(now_ms()));
  if (agreed) n.keep_place(j.asking->offer, job, now_s_ + kPlaceKept_s);
  j.asking->agreed = agreed;
  j.asking->answer = n.load(jobs_, now_s_);
  send(Kind::answer, j.state == State::starting ? j.work->home : j.at, job, j.generation);
}

void Simulation::take_answer(u32 job, bool in_time) {
  Job& j = jobs_[job];
  Asking& asking = *j.asking;
  const u32 target = asking.offer.target_id;
  const bool agreed = in_time && asking.agreed;
  Node& asker = node(j.state == State::starting ? j.work->home : j.at);
  ++j.generation;
  if (in_time) {
    asker.window.merge(asking.answer, 0, now_ms());
  } else {
    asker.window.suspect(target);
  }
  if (j.state == State::here) {
    if (agreed) {
      book(job);
    } else {
      propose_next(job);
    }
    return;
  }
  if (agreed) {
    depart(job, target);
    return;
  }
  if (in_time) {
    auto& answers = asking.view.answers;
    std::erase_if(answers, [&](const NodeLoad& n) { return n.id == target; });
    answers.push_back(asking.answer);
  }
  proceed(job);
}

void Simulation::start(u32 id, u32 job) {
  Node& n = node(id);
  Job& j = jobs_[job];
  n.drop_place(job);
  n.advance(jobs_, now_s_);
  ++j.generation;
  j.asking.reset();
  j.state = State::here;
  j.at = id;
  j.came_s = now_s_;
  if (j.moves == 0) {
    j.started_s = now_s_;
    n.starts.add(1, now_ms(), cluster::DecayKind::fast, {});
  }
  j.rate = j.share = 0;
  j.held = j.booked = false;
  n.add(job);
  settle(n);
}

void Simulation::stop_waiting(u32 job) {
  Job& j = jobs_[job];
  std::erase(node(j.work->home).waiting, job);
  j.asking->view.waited_s += now_s_ - j.asking->wait_began_s;
  j.state = State::starting;
  ++j.generation;
}

void Simulation::wait_ends(u32 job) {
  stop_waiting(job);
  look_around(job);
}

void Simulation::take_note(Node& n, u32 job) {
  if (n.notes.size() >= kMostNotes) n.notes.pop_front();
  n.notes.push_back({job, jobs_[job].asking->offer, jobs_[job].asking->note_until_s});
}

// Somebody left: whoever waits for room here is called, the longest waiting first.
void Simulation::offer_room(Node& n) {
  if (n.notes.empty()) return;
  for (;;) {
    NodeLoad load = n.load(jobs_, now_s_);
    load.held -= static_cast<double>(n.waiting.size());  // they stand in the same queue
    std::erase_if(n.notes, [&](const Note& note) { return note.until_s < now_s_; });
    const auto it = std::ranges::find_if(n.notes, [&](const Note& note) { return accepts(load, note.offer); });
    if (it == n.notes.end()) return;
    const Note note = *it;
    n.notes.erase(it);
    const Job& j = jobs_[note.job];
    if (j.work->home != n.id) {
      n.keep_place(note.offer, note.job, now_s_ + kPlaceKept_s);
      send(Kind::call, j.work->home, note.job, n.id);
    } else if (j.state == State::waiting) {
      stop_waiting(note.job);
      start(n.id, note.job);  // comes back here by itself
      return;
    }
  }
}

void Simulation::take_call(u32 home, u32 job, u32 caller) {
  const Job& j = jobs_[job];
  if (j.state != State::waiting) {
    if (node(home).up) send(Kind::no_thanks, caller, job);
    return;
  }
  stop_waiting(job);
  depart(job, caller);
}

// ---- moving

void Simulation::push(Node& n) {
  if (policy_.move == cluster::MoveRule::none || n.link_free_s - now_s_ > kMostBooked_s) return;
  cluster::PlacementState state = placement_state(n);
  state.others = known_to(n);
  for (const auto& decision : timed([&] { return cluster::decide(state, chance_.next(), policy_); }))
    propose(static_cast<u32>(decision.pid), {decision});
}

void Simulation::usher(Node& n) {
  if (!n.held_any || now_s_ < n.usher_after_s) return;
  n.usher_after_s = now_s_ + kUsherPause_s;
  cluster::PlacementState state = placement_state(n);
  state.others = known_to(n);
  std::erase_if(state.running, [](const cluster::Candidate& c) { return !c.movable; });
  auto moves = timed([&] { return cluster::usher(state, 0, chance_.next()); });
  if (moves.size() > kUsherAsks) moves.resize(kUsherAsks);
  if (moves.empty()) return;
  const u32 victim = static_cast<u32>(moves.front().pid);
  propose(victim, std::move(moves));
}

void Simulation::propose(u32 job, std::vector<cluster::MoveDecision> offers) {
  Job& j = jobs_[job];
  if (j.state == State::waiting) {
    // It has not started: going elsewhere is just another offer of its start.
    stop_waiting(job);
    j.asking->offer = offers.front();
    ask(job);
    return;
  }
  j.asking = std::make_unique<Asking>();
  j.asking->offers = std::move(offers);
  propose_next(job);
}

void Simulation::propose_next(u32 job) {
  Job& j = jobs_[job];
  Asking& asking = *j.asking;
  if (asking.next == asking.offers.size()) {
    j.asking.reset();
    return;
  }
  asking.offer = asking.offers[asking.next++];
  ++j.generation;
  ask(job);
}

void Simulation::book(u32 job) {
  Job& j = jobs_[job];
  Node &from = node(j.at), &to = node(j.asking->offer.target_id);
  // What has never run has no memory to carry.
  const double takes_s = kMoveFixed_s + (j.used_s > 0 ? static_cast<double>(j.work->bytes) / kLinkBytes_per_s : 0);
  const double begin_s = std::max({now_s_, from.link_free_s, to.link_free_s});
  from.link_free_s = to.link_free_s = begin_s + takes_s;
  to.keep_place(j.asking->offer, job, begin_s + takes_s + kPlaceKept_s);
  j.asking.reset();
  j.booked = true;
  j.target = to.id;
  j.move_takes_s = takes_s;
  at(begin_s, Kind::move_begins, j.at, job, j.generation);
}

void Simulation::begin_move(u32 job) {
  Job& j = jobs_[job];
  Node& from = node(j.at);
  from.advance(jobs_, now_s_);
  if (j.left_s <= 0) {
    settle(from);
    return;
  }
  j.state = State::moving;
  at(now_s_ + j.move_takes_s, Kind::move_ends, j.at, job, j.generation);
  settle(from);
}

void Simulation::end_move(u32 job) {
  Job& j = jobs_[job];
  Node &from = node(j.at), &to = node(j.target);
  ++out_.counts.moves;
  if (!to.up) {
    // The target died on the way: the source has kept everything.
    j.state = State::here;
    j.booked = false;
    settle(from);
    return;
  }
  from.remove(job);
  ++j.moves;
  settle(from);
  start(to.id, job);
}

void Simulation::maybe_pull(Node& n) {
  if (!policy_.pull || n.pulling || now_s_ < n.pull_after_s) return;
  if (n.load(jobs_, now_s_).load() + 1 > n.cpus) return;
  std::vector<std::pair<double, u32>> loaded;
  for (const auto& [id, heard] : n.window.all()) {
    const NodeLoad& other = heard.entry;
    if (!heard.alive(now_ms()) || other.load() < 1) continue;
    if (other.load() > other.cpus || other.speed < n.speed)
      loaded.emplace_back(other.load() / (other.cpus * other.speed), id);
  }
  n.pull_after_s = now_s_ + kPullSoonest_s;
  if (loaded.empty()) return;
  std::ranges::sort(loaded);
  if (loaded.size() > kPullAsks) loaded.erase(loaded.begin(), loaded.end() - kPullAsks);
  n.pull_from.clear();
  for (const auto& [load, id] : loaded) n.pull_from.push_back(id);
  n.pulling = true;
  pull_next(n);
}

void Simulation::pull_next(Node& n) {
  ++n.pull_generation;
  if (n.pull_from.empty()) {
    n.pulling = false;
    n.pull_pause_s = std::min(kPullLatest_s, 2 * n.pull_pause_s);
    n.pull_after_s = now_s_ + n.pull_pause_s;
    return;
  }
  const u32 giver = n.pull_from.back();
  n.pull_from.pop_back();
  send(Kind::pull, giver, n.id);
  at(now_s_ + kAnswerWithin_s, Kind::pull_next, n.id, 0, n.pull_generation);
}

// The asker's message says how it is loaded; the answer is an offer, or a no.
void Simulation::answer_pull(u32 giver, u32 asker) {
  Node &from = node(giver), &to = node(asker);
  cluster::PlacementState state = placement_state(from);
  state.others = {to.load(jobs_, now_s_)};
  state.moves_left = 1;
  const auto moves = timed([&] { return cluster::decide(state, chance_.next(), policy_); });
  if (moves.empty()) {
    send(Kind::pull_next, asker, 0, to.pull_generation);
    return;
  }
  to.pulling = false;
  to.pull_pause_s = 0.1;
  propose(static_cast<u32>(moves.front().pid), moves);
}

}  // namespace omig::sim
