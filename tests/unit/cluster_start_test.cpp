// SPDX-License-Identifier: Apache-2.0
// Where new processes start, step by step; and the small rules around placement: memory, loads, statistics, tokens.
#include <gtest/gtest.h>

#include <algorithm>

#include "lib/cluster/classic.h"
#include "lib/cluster/start.h"
#include "lib/cluster/statistics.h"

namespace omig::cluster {
namespace {

constexpr u64 kGiB = 1ull << 30;

NodeLoad node(u32 id, double runnable, double speed = 1) {
  NodeLoad n;
  n.id = id;
  n.cpus = 4;
  n.speed = speed;
  n.runnable = runnable;
  n.free_bytes = 8 * kGiB;
  n.total_bytes = 16 * kGiB;
  return n;
}

StartView at_home(double runnable) {
  StartView view;
  view.home = node(1, runnable);
  view.job.pid = 100;
  view.job.home_id = 1;
  view.job.demand = 1;
  view.job.rss_bytes = kGiB;
  view.job.calls_known = false;
  return view;
}

using Kind = StartStep::Kind;

TEST(Start, AFreeCpuAtHomeNeedsNoMessage) {
  StartView view = at_home(3);
  view.known = {node(2, 0)};
  EXPECT_EQ(next_step(view, 1).kind, Kind::here);
}

TEST(Start, TheBestKnownIsAskedForACpuOfItsOwn) {
  StartView view = at_home(4);
  view.known = {node(2, 4), node(3, 1), node(4, 6)};
  const StartStep step = next_step(view, 1);
  ASSERT_EQ(step.kind, Kind::offer);
  EXPECT_EQ(step.offer.target_id, 3u);
  EXPECT_TRUE(accepts(node(3, 3), step.offer));
  EXPECT_FALSE(accepts(node(3, 4), step.offer));  // it has become full since
}

TEST(Start, AFasterFreeCpuIsWorthAsking) {
  StartView view = at_home(0);
  view.known = {node(2, 0, 1), node(3, 0, 4)};
  const StartStep step = next_step(view, 1);
  ASSERT_EQ(step.kind, Kind::offer);
  EXPECT_EQ(step.offer.target_id, 3u);
}

TEST(Start, FirstTheShortlistThenStrangersThenItWaitsWithNotes) {
  StartView view = at_home(4);
  for (u32 id = 2; id < 20; ++id) view.known.push_back(node(id, 0));
  for (u32 id = 30; id < 60; ++id) view.strangers.push_back(id);
  for (u32 i = 0; i < kOmig.shortlist + kOmig.strangers; ++i) {
    const StartStep step = next_step(view, 1);
    ASSERT_EQ(step.kind, Kind::offer) << i;
    EXPECT_EQ(step.offer.target_id >= 30, i >= kOmig.shortlist) << i;
    EXPECT_EQ(std::ranges::count(view.asked, step.offer.target_id), 0) << "asked twice";
    view.asked.push_back(step.offer.target_id);
    view.answers.push_back(node(step.offer.target_id, 4));
  }
  const StartStep step = next_step(view, 1);
  ASSERT_EQ(step.kind, Kind::wait);
  EXPECT_EQ(step.notes.size(), view.answers.size());
  EXPECT_TRUE(accepts(node(30, 3), step.offer));
  EXPECT_FALSE(accepts(node(30, 4), step.offer));
}

TEST(Start, HavingWaitedItTakesTheBestThereIs) {
  StartView view = at_home(8);
  view.known = {node(2, 5), node(3, 4)};
  view.asked = {2, 3};
  view.answers = {node(2, 5), node(3, 4)};
  view.waited_s = kOmig.longest_wait_s;
  StartStep step = next_step(view, 1);
  ASSERT_EQ(step.kind, Kind::offer);
  EXPECT_EQ(step.offer.target_id, 3u);
  EXPECT_TRUE(accepts(node(3, 4), step.offer));
  EXPECT_FALSE(accepts(node(3, 7), step.offer));  // no longer as it said
  view.answers = {node(2, 9), node(3, 9)};
  EXPECT_EQ(next_step(view, 1).kind, Kind::here);
}

TEST(Start, WhoCallsHomeMuchStaysThereInACrowd) {
  StartView view = at_home(5);
  view.known = {node(2, 0)};
  EXPECT_EQ(next_step(view, 1).kind, Kind::offer);
  view.job.calls_known = true;
  view.job.calls_per_s = 2'500;
  EXPECT_EQ(next_step(view, 1).kind, Kind::here);
}

TEST(Start, WhoNeedsNoHomeLeavesItsLastCpuToOthers) {
  StartView view = at_home(3);
  view.known = {node(2, 0)};
  view.job.calls_known = true;
  EXPECT_EQ(next_step(view, 1).kind, Kind::offer);
  view.home.runnable = 1;
  EXPECT_EQ(next_step(view, 1).kind, Kind::here);
}

TEST(Start, WithoutMemoryAnywhereItWaitsLongerAndLongerButNotForEver) {
  StartView view = at_home(0);
  view.home.free_bytes = kGiB / 2;
  StartStep step = next_step(view, 1);
  ASSERT_EQ(step.kind, Kind::wait);
  double last_s = 0;
  for (int i = 0; i < 20 && step.kind == Kind::wait; ++i) {
    EXPECT_GE(step.wait_s, last_s);
    last_s = step.wait_s;
    view.waited_s += step.wait_s;
    step = next_step(view, 1);
  }
  EXPECT_EQ(step.kind, Kind::here);
  EXPECT_LT(view.waited_s, 20);
}

TEST(Start, TheClassicRulesDoNotAsk) {
  StartView view = at_home(8);
  view.known = {node(2, 6), node(3, 2)};
  view.strangers = {7};
  EXPECT_EQ(next_step(view, 1, *policy_named("home")).kind, Kind::here);
  EXPECT_EQ(next_step(view, 1, *policy_named("round-robin")).offer.target_id, 7u);
  EXPECT_EQ(next_step(view, 1, *policy_named("least-loaded")).offer.target_id, 3u);
  EXPECT_EQ(next_step(view, 1, *policy_named("opportunity")).offer.target_id, 3u);
  EXPECT_EQ(policy_named("no such"), nullptr);
}

// ---- openMosix' rule

PlacementState six_here() {
  PlacementState state;
  state.self = node(1, 6);
  state.own_load = 150;
  for (int i = 0; i < 6; ++i) {
    Candidate c;
    c.pid = 100 + i;
    c.home_id = 1;
    c.demand = 1;
    c.samples = 9;
    c.age_ms = c.resident_ms = 2'000 + 100 * i;
    c.rss_bytes = kGiB / 8;
    state.running.push_back(c);
  }
  return state;
}

TEST(Threshold, TheLongestRunningGoesWhereItIsClearlyEmptier) {
  const Policy& rule = *policy_named("openmosix");
  PlacementState state = six_here();
  state.others = {node(2, 1), node(3, 4)};
  const auto moves = decide(state, 1, rule);
  ASSERT_EQ(moves.size(), 1u);
  EXPECT_EQ(moves[0].pid, 105);
  EXPECT_EQ(moves[0].target_id, 2u);
  state.others = {node(2, 5)};
  EXPECT_TRUE(decide(state, 1, rule).empty());  // 6 of 4 here, 6 of 4 there afterwards
}

TEST(Threshold, WhatWasToldLastCountsEvenIfItIsEmptierNow) {
  PlacementState state = six_here();
  state.others = {node(2, 1)};
  state.others[0].told = 140;
  EXPECT_TRUE(decide(state, 1, *policy_named("openmosix")).empty());
}

// ---- moves of omig's rule that the big picture in cluster_placement_test.cpp does not show

TEST(Gain, ACpuThatTheNextNewProcessWillTakeIsNotWorthMovingMemory) {
  PlacementState state = six_here();
  state.others = {node(2, 0)};
  ASSERT_FALSE(decide(state, 1).empty());
  state.others[0].coming = 5;
  EXPECT_TRUE(decide(state, 1).empty());
  for (Candidate& c : state.running) c.started = false;  // nothing to carry: goes at once
  EXPECT_FALSE(decide(state, 1).empty());
}

TEST(Gain, ALinkThatIsBookedIsPartOfThePrice) {
  PlacementState state = six_here();
  state.others = {node(2, 0)};
  state.link_wait_s = 60;
  EXPECT_TRUE(decide(state, 1).empty());
}

// ---- memory

TEST(Memory, TheOldestRunAndNobodyIsTooLargeForEver) {
  const std::vector<u64> bytes{4, 3, 5, 1};
  EXPECT_EQ(may_run(bytes, 8), (std::vector<bool>{true, true, false, true}));
  EXPECT_EQ(may_run(bytes, 1), (std::vector<bool>{true, false, false, false}));
  EXPECT_EQ(may_run(bytes, 13), (std::vector<bool>{true, true, true, true}));
}

TEST(Memory, TheSmallestThatHelpsIsUshered) {
  PlacementState state = six_here();
  state.others = {node(2, 9), node(3, 5)};
  for (size_t i = 0; i < 6; ++i) state.running[i].rss_bytes = (i + 1) * kGiB;
  auto moves = usher(state, 5 * kGiB / 2, 1);
  ASSERT_EQ(moves.size(), 2u);
  EXPECT_EQ(moves[0].pid, 102);  // 3 GiB
  EXPECT_EQ(moves[0].target_id, 3u);
  EXPECT_TRUE(accepts(node(2, 50), moves[1])) << "memory overrides load";
  state.running[4].held = true;
  EXPECT_EQ(usher(state, kGiB, 1).front().pid, 104);  // it does not run anyway
  state.others[0].free_bytes = state.others[1].free_bytes = kGiB;
  EXPECT_TRUE(usher(state, kGiB, 1).empty());
  state.running[4].held = false;
  state.others[0].free_bytes = 16 * kGiB;
  EXPECT_EQ(usher(state, 100 * kGiB, 1).front().pid, 105);  // none suffices: the largest
}

// ---- loads, statistics, tokens

TEST(LoadAverage, OwnRisesSlowlyToldFallsSlowly) {
  LoadAverage load;
  load.sample(4, 4, 1);
  EXPECT_DOUBLE_EQ(load.own(), 100 * 3 / 8.0);
  EXPECT_DOUBLE_EQ(load.told(), 100);
  load.sample(0, 4, 1);
  EXPECT_DOUBLE_EQ(load.own(), 0);
  EXPECT_DOUBLE_EQ(load.told(), 87.5);
  load.sample(4, 2, 2);  // half as many CPUs, twice as fast
  EXPECT_DOUBLE_EQ(load.told(), 100);
}

TEST(Statistics, WhatWasLongAgoCountsLess) {
  const DecaySettings settings;
  DecayingSum sum;
  sum.add(1'000, 0, DecayKind::slow, settings);
  EXPECT_DOUBLE_EQ(sum.value(1'000, DecayKind::slow, settings), 975);
  EXPECT_DOUBLE_EQ(sum.value(1'000, DecayKind::fast, settings), 926);
  EXPECT_DOUBLE_EQ(sum.value(1'000, DecayKind::none, settings), 1'000);
  EXPECT_DOUBLE_EQ(sum.value(999, DecayKind::slow, settings), 1'000);
}

TEST(Statistics, ASteadyRateIsSeenAsItIs) {
  const DecaySettings settings{.interval_ms = 500};
  for (const DecayKind kind : {DecayKind::slow, DecayKind::fast, DecayKind::none}) {
    DecayingSum sum;
    for (i64 t = 0; t < 60'000; t += 100) sum.add(7, 1'000'000 + t, kind, settings);
    EXPECT_NEAR(sum.per_s(1'059'999, kind, settings), 70, 1);
  }
}

TEST(Tokens, SoManyASecond) {
  Tokens tokens(3);
  EXPECT_TRUE(tokens.take(0) && tokens.take(0) && tokens.take(0));
  EXPECT_FALSE(tokens.take(100));
  EXPECT_TRUE(tokens.take(400));
  EXPECT_FALSE(tokens.take(400));
}

}  // namespace
}  // namespace omig::cluster
