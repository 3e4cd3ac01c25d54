// SPDX-License-Identifier: Apache-2.0
// Placement rules one by one, then a small deterministic cluster that runs them as homed does: stale gossip, fresh
// offers with reservations, moves that take time.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

#include "lib/cluster/placement.h"
#include "lib/cluster/window.h"

namespace omig::cluster {
namespace {

NodeEntry node(u32 id, double cpus, double runnable) {
  NodeEntry e;
  e.id = id;
  e.name = "node" + std::to_string(id);
  e.endpoint = *Endpoint::parse("10.0.0." + std::to_string(id) + ":7946");
  e.cpus = cpus;
  e.runnable = runnable;
  e.free_bytes = 8ull << 30;
  e.total_bytes = 16ull << 30;
  return e;
}

Candidate busy(i32 pid, u32 home) {
  Candidate c;
  c.pid = pid;
  c.home_id = home;
  c.demand = 1;
  c.samples = 8;
  c.age_ms = c.resident_ms = 2'000;
  c.rss_bytes = 10 << 20;
  return c;
}

PlacementState crowded(int jobs) {
  PlacementState state;
  state.self = node(1, 1, jobs);
  state.others = {node(2, 1, 0)};
  for (int i = 0; i < jobs; ++i) state.running.push_back(busy(100 + i, 1));
  return state;
}

TEST(Placement, AloneOnANodeNothingMoves) { EXPECT_TRUE(decide(crowded(1), 1).empty()); }

TEST(Placement, HalfOfThemGo) {
  EXPECT_EQ(decide(crowded(2), 1).size(), 1u);
  EXPECT_EQ(decide(crowded(4), 1).size(), 2u);
  // 5 and 0: after two moves 3 and 2, and a third would only mirror that.
  EXPECT_EQ(decide(crowded(5), 1).size(), 2u);
}

TEST(Placement, NoMoreThanAllowedAtOnce) {
  PlacementState state = crowded(20);
  state.moves_left = 3;
  EXPECT_EQ(decide(state, 1).size(), 3u);
}

TEST(Placement, TheYoungTheIdleAndTheBarredStay) {
  PlacementState state = crowded(3);
  state.running[0].age_ms = 100;
  state.running[1].demand = 0.1;
  state.running[2].movable = false;
  EXPECT_TRUE(decide(state, 1).empty());
}

TEST(Placement, WhoTalksToATerminalStays) {
  PlacementState state = crowded(3);
  for (Candidate& c : state.running) c.interactive = true;
  EXPECT_TRUE(decide(state, 1).empty());
  EXPECT_FALSE(usher(state, 1 << 20, 1).empty());  // but not where there is no memory
}

// A guest that waits for its home most of the time looks idle, and goes home; a quiet idle one stays.
TEST(Placement, WhoWaitsForItsHomeGoesThere) {
  PlacementState state;
  state.self = node(2, 1, 0.3);
  state.others = {node(1, 1, 0), node(3, 1, 0)};
  Candidate guest = busy(100, 1);
  guest.demand = 0.3;
  guest.away = true;
  guest.moves = 1;
  state.running = {guest};
  EXPECT_TRUE(decide(state, 1).empty());
  state.running[0].calls_per_s = 5'000;
  ASSERT_EQ(decide(state, 1).size(), 1u);
  EXPECT_EQ(decide(state, 1)[0].target_id, 1u);
  state.running[0].calls_per_s = 10;
  state.running[0].bytes_per_s = 100e6;
  ASSERT_EQ(decide(state, 1).size(), 1u);
  EXPECT_EQ(decide(state, 1)[0].target_id, 1u);
}

// One that gets a tenth of a CPU makes a tenth of the calls, and would make all of them where it has one to itself.
TEST(Placement, WhoIsStarvedIsNotQuiet) {
  Candidate c = busy(100, 1);
  c.calls_per_s = 100;
  const double seen_with_a_cpu = penalty_of(c, 2);
  c.cpu_per_s = 0.1;
  EXPECT_GT(penalty_of(c, 2), 1 + 9 * (seen_with_a_cpu - 1));
  c.cpu_per_s = 0;  // not to be told from very little
  EXPECT_LE(penalty_of(c, 2), 3);
}

TEST(Placement, AFarNodeIsForWhoDoesNotCall) {
  PlacementState state = crowded(2);
  state.others.push_back(node(3, 1, 0));
  state.links.round_trip(2, 10e-3);
  state.links.round_trip(3, 50e-6);
  for (Candidate& c : state.running) c.calls_per_s = 300;
  auto moves = decide(state, 1);
  ASSERT_EQ(moves.size(), 1u);
  EXPECT_EQ(moves[0].target_id, 3u);
  state.others.pop_back();  // only the far one: three times as long there as at home, where two share
  EXPECT_TRUE(decide(state, 1).empty());
  for (Candidate& c : state.running) c.calls_per_s = 0;
  EXPECT_EQ(decide(state, 1).size(), 1u);
}

TEST(Placement, AGuestPaysForTheLongerOfBothWays) {
  Candidate guest = busy(100, 1);
  guest.away = true;
  guest.calls_per_s = 100;
  Links links;
  links.round_trip(1, 50e-6);
  links.round_trip(2, 10e-3);
  EXPECT_LT(penalty_of(guest, 3, links), 1.05);
  EXPECT_GT(penalty_of(guest, 2, links), 1.9);  // how far it is from there to its home we cannot know
  links.round_trip(1, 10e-3);
  EXPECT_GT(penalty_of(guest, 3, links), 1.9);
  EXPECT_LT(penalty_of(guest, 1, links), 0.6);
}

TEST(Placement, WhatTravelsForLongerThanItStaysIsNotSent) {
  PlacementState state = crowded(2);
  for (Candidate& c : state.running) {
    c.rss_bytes = 1 << 30;
    c.age_ms = c.resident_ms = 20'000;
  }
  EXPECT_EQ(decide(state, 1).size(), 1u);
  state.links.carried(2, 64 << 20, 5.0);  // about 100 Mbit/s
  EXPECT_TRUE(decide(state, 1).empty());
  for (Candidate& c : state.running) c.rss_bytes = 10 << 20;
  EXPECT_EQ(decide(state, 1).size(), 1u);
}

TEST(Links, AreMeasuredNotBelieved) {
  Links links;
  EXPECT_EQ(links.find(1), nullptr);
  EXPECT_EQ(links.move_s(1, 1e9), 0);
  const double unknown = links.call_s(1);
  links.assume_gateways(2);
  EXPECT_GT(links.call_s(1), unknown);
  links.round_trip(1, 1e-6);
  EXPECT_LT(links.call_s(1), unknown);  // and then nobody need assume anything
  links.carried(1, 1 << 10, 1);
  EXPECT_EQ(links.move_s(1, 1e9), 0);  // too small to tell
  links.carried(1, 100'000'000, 1);
  EXPECT_DOUBLE_EQ(links.move_s(1, 1e9), 10);
  links.carried(1, 200'000'000, 1);
  EXPECT_LT(links.move_s(1, 1e9), 10);
  EXPECT_GT(links.move_s(1, 1e9), 5);
}

TEST(Placement, BytesCountAsCallsDo) {
  Candidate c = busy(100, 1);
  const double quiet = penalty_of(c, 2);
  c.bytes_per_s = 50e6;
  EXPECT_GT(penalty_of(c, 2), quiet * 1.3);
  EXPECT_LT(penalty_of(c, 1), 1);
}

TEST(Placement, ResidenceGrowsWithEveryMove) {
  PlacementState state = crowded(4);
  for (Candidate& c : state.running) {
    c.moves = 1;
    c.resident_ms = 1'400;
  }
  EXPECT_TRUE(decide(state, 1).empty());
  for (Candidate& c : state.running) c.resident_ms = 1'600;
  EXPECT_EQ(decide(state, 1).size(), 2u);
  for (Candidate& c : state.running) c.moves = 3;
  EXPECT_TRUE(decide(state, 1).empty());
}

TEST(Placement, AReservationCountsAsLoad) {
  PlacementState state = crowded(2);
  state.others[0].reserved = 1;
  EXPECT_TRUE(decide(state, 1).empty());
}

TEST(Placement, AFasterNodeIsPreferred) {
  PlacementState state = crowded(2);
  state.others = {node(2, 1, 0), node(3, 1, 0)};
  state.others[1].speed = 3;
  const auto moves = decide(state, 1);
  ASSERT_FALSE(moves.empty());
  EXPECT_EQ(moves[0].target_id, 3u);
}

TEST(Placement, MemoryForbids) {
  PlacementState state = crowded(2);
  state.others[0].free_bytes = 100 << 20;
  EXPECT_TRUE(decide(state, 1).empty());
}

TEST(Placement, AGuestThatCallsHomeGoesThereWhenHomeIsIdle) {
  PlacementState state;
  state.self = node(1, 1, 1);
  state.others = {node(2, 1, 0), node(3, 1, 0)};
  state.running = {busy(100, 3)};
  EXPECT_TRUE(decide(state, 1).empty());  // a quiet one is as well off where it is
  state.running[0].calls_per_s = 500;
  const auto moves = decide(state, 1);
  ASSERT_EQ(moves.size(), 1u);
  EXPECT_EQ(moves[0].target_id, 3u);
}

TEST(Placement, AChattyProgramNeedsABetterReason) {
  PlacementState state = crowded(3);
  state.others[0].runnable = 1;
  EXPECT_EQ(decide(state, 1).size(), 1u);
  for (Candidate& c : state.running) c.calls_per_s = 10'000;
  EXPECT_TRUE(decide(state, 1).empty());
}

TEST(Placement, TheTargetHasTheLastWord) {
  const auto moves = decide(crowded(2), 1);
  ASSERT_EQ(moves.size(), 1u);
  EXPECT_TRUE(accepts(node(2, 1, 0), moves[0]));
  EXPECT_FALSE(accepts(node(2, 1, 2), moves[0]));  // news the source had not heard
  NodeEntry closed = node(2, 1, 0);
  closed.accepts = false;
  EXPECT_FALSE(accepts(closed, moves[0]));
}

TEST(Placement, BalanceIgnoresResidence) {
  PlacementState state = crowded(2);
  state.running[0].moves = 5;
  state.running[0].age_ms = 0;
  EXPECT_EQ(decide_for(state, 100, 1, 1).size(), 1u);
  EXPECT_TRUE(decide_for(state, 100, 2, 1).empty());  // another home's process of that number
}

TEST(DemandMeter, AWholeThreadStaysWholeThroughShortPauses) {
  DemandMeter meter;
  for (int i = 0; i < 40; ++i) meter.sample(i % 10 == 9 ? 0 : 1, 250);
  EXPECT_EQ(meter.demand(), 1);
}

TEST(DemandMeter, ForgetsInSeconds) {
  DemandMeter meter(1);
  for (int i = 0; i < 20; ++i) meter.sample(0, 250);
  EXPECT_LT(meter.demand(), 0.05);
}

// ---- the small cluster

struct Job {
  i32 pid = 0;
  u32 home = 0, at = 0;
  i64 work_us = 0;  // CPU time still needed
  i64 born_ms = 0, came_ms = 0;
  i64 arrives_ms = -1;  // under way until then
  u32 moves = 0;
  DemandMeter meter;
};

class Sim {
 public:
  Sim(u32 nodes, double cpus) : nodes_(nodes), cpus_(cpus), windows_(nodes + 1), told_(nodes + 1, 0.0) {}

  void add(u32 home, i64 work_ms) {
    Job job;
    job.pid = 100 + static_cast<i32>(jobs_.size());
    job.home = job.at = home;
    job.work_us = work_ms * 1000;
    job.born_ms = job.came_ms = now_ms_;
    jobs_.push_back(job);
  }

  void run(i64 ms) {
    for (const i64 end = now_ms_ + ms; now_ms_ < end; now_ms_ += kStep_ms) step();
  }

  std::vector<size_t> spread() const {
    std::vector<size_t> counts;
    for (u32 n = 1; n <= nodes_; ++n)
      counts.push_back(
          static_cast<size_t>(std::ranges::count_if(jobs_, [&](const Job& j) { return j.work_us > 0 && j.at == n; })));
    std::ranges::sort(counts, std::ranges::greater{});
    return counts;
  }

  bool done() const {
    return std::ranges::all_of(jobs_, [](const Job& j) { return j.work_us <= 0; });
  }
  i64 now_ms() const { return now_ms_; }
  int moves() const { return moves_; }
  i64 wasted_ms() const { return wasted_ms_; }  // a node idle while another had two or more
  i32 noise_every = 0;                          // every so many samples a job is seen blocked
  bool simultaneous = false;                    // all nodes decide in the same moment, on gossip that is a second old

 private:
  static constexpr i64 kStep_ms = 50;
  static constexpr i64 kMove_ms = 150;

  NodeEntry entry(u32 n) {
    NodeEntry e = node(n, cpus_, 0);
    e.incarnation = 1;
    e.seq = ++seq_;
    for (const Job& j : jobs_) {
      if (j.work_us <= 0 || j.at != n) continue;
      if (j.arrives_ms >= 0) {
        e.reserved += 1;
      } else {
        e.runnable += j.meter.demand();
      }
    }
    return e;
  }

  void step() {
    size_t idle = 0, crowded_nodes = 0;
    for (u32 n = 1; n <= nodes_; ++n) {
      std::vector<Job*> here;
      for (Job& j : jobs_)
        if (j.work_us > 0 && j.at == n && j.arrives_ms < 0) here.push_back(&j);
      if (here.empty()) ++idle;
      if (here.size() > 1) ++crowded_nodes;
      for (Job* j : here)
        j->work_us -= static_cast<i64>(1000 * kStep_ms * std::min(1.0, cpus_ / static_cast<double>(here.size())));
    }
    if (idle > 0 && crowded_nodes > 0) wasted_ms_ += kStep_ms;
    for (Job& j : jobs_) {
      if (j.arrives_ms < 0 || now_ms_ < j.arrives_ms) continue;
      j.arrives_ms = -1;
      j.came_ms = now_ms_;
      ++j.moves;
      j.meter = DemandMeter(1);
    }
    if (now_ms_ % 250 == 0) {
      ++samples_;
      for (Job& j : jobs_)
        if (j.work_us > 0 && j.arrives_ms < 0)
          j.meter.sample(noise_every > 0 && (samples_ + j.pid) % noise_every == 0 ? 0 : 1, 250);
    }
    for (u32 n = 1; n <= nodes_; ++n) talk(n);
  }

  // Gossip every second at a phase of one's own, sooner after a change, as homed does; then decide.
  void talk(u32 n) {
    const NodeEntry mine = entry(n);
    const bool changed = std::abs(mine.load() - told_[n]) >= 0.5;
    const bool turn = now_ms_ % 1'000 == (simultaneous ? 0 : 200 * n % 1'000);
    if (turn || (!simultaneous && changed && now_ms_ % 250 == 0)) {
      told_[n] = mine.load();
      for (u32 other = 1; other <= nodes_; ++other)
        if (other != n) windows_[other].merge(mine, 0, now_ms_);
    }
    if (turn) decide_at(n);
  }

  void decide_at(u32 n) {
    PlacementState state;
    state.self = entry(n);
    for (const auto& [id, seen] : windows_[n].all()) state.others.push_back(seen.entry);
    for (const Job& j : jobs_) {
      if (j.work_us <= 0 || j.at != n || j.arrives_ms >= 0) continue;
      Candidate c = busy(j.pid, j.home);
      c.demand = j.meter.demand();
      c.samples = j.meter.samples();
      c.age_ms = now_ms_ - j.born_ms;
      c.resident_ms = now_ms_ - j.came_ms;
      c.moves = j.moves;
      state.running.push_back(c);
    }
    for (const MoveDecision& move : decide(state, static_cast<u64>(now_ms_))) {
      const bool accepted = accepts(entry(move.target_id), move);
      Job& j = *std::ranges::find(jobs_, move.pid, &Job::pid);
      if (accepted) {
        j.at = move.target_id;
        j.arrives_ms = now_ms_ + kMove_ms;
        ++moves_;
      }
      windows_[n].merge(entry(move.target_id), 0, now_ms_);
    }
  }

  u32 nodes_;
  double cpus_;
  i64 now_ms_ = 0;
  u64 seq_ = 0;
  i32 samples_ = 0;
  int moves_ = 0;
  i64 wasted_ms_ = 0;
  std::vector<Job> jobs_;
  std::vector<Window> windows_;
  std::vector<double> told_;
};

using Counts = std::vector<size_t>;

TEST(PlacementSim, TenJobsSpreadOverFourNodesAndStay) {
  Sim sim(4, 0.4);
  for (int i = 0; i < 10; ++i) sim.add(1, 600'000);
  sim.run(4'000);
  EXPECT_EQ(sim.spread(), (Counts{3, 3, 2, 2}));
  EXPECT_EQ(sim.moves(), 7);  // 3 stay; nobody moved in vain
  sim.run(120'000);
  EXPECT_EQ(sim.moves(), 7) << "ping-pong";
}

TEST(PlacementSim, TheSameWithJobsThatBlockNowAndThen) {
  Sim sim(4, 0.4);
  sim.noise_every = 7;
  for (int i = 0; i < 10; ++i) sim.add(1, 600'000);
  sim.run(6'000);
  EXPECT_EQ(sim.spread(), (Counts{3, 3, 2, 2}));
  const int moves = sim.moves();
  sim.run(120'000);
  EXPECT_LE(sim.moves() - moves, 2) << "ping-pong";
}

TEST(PlacementSim, ANodeThatFinishesGetsWork) {
  Sim sim(4, 0.4);
  for (int i = 0; i < 10; ++i) sim.add(1, 3'000 + 1'500 * i);
  double total_s = 0;
  for (int i = 0; i < 10; ++i) total_s += 3.0 + 1.5 * i;
  while (!sim.done() && sim.now_ms() < 600'000) sim.run(1'000);
  ASSERT_TRUE(sim.done());
  // Four nodes of 0.4 CPU need total/1.6 at best.
  EXPECT_LT(static_cast<double>(sim.now_ms()) / 1000, total_s / 1.6 * 1.25);
  EXPECT_LT(sim.wasted_ms(), 8'000);
  EXPECT_LT(sim.moves(), 25);
}

TEST(PlacementSim, FourOverloadedNodesDoNotFloodTheIdleOne) {
  Sim sim(5, 1);
  sim.simultaneous = true;
  for (u32 n = 1; n <= 4; ++n)
    for (int i = 0; i < 5; ++i) sim.add(n, 600'000);
  sim.run(8'000);
  EXPECT_EQ(sim.spread(), (Counts{4, 4, 4, 4, 4}));
  EXPECT_LE(sim.moves(), 6);
}

}  // namespace
}  // namespace omig::cluster
