// SPDX-License-Identifier: Apache-2.0
// What users say of their processes: as text, and in the rules of placement.
#include <gtest/gtest.h>

#include "lib/cluster/placement.h"

namespace omig::cluster {
namespace {

TEST(Job, IsWholeAfterAJourneyAsText) {
  for (const Job& job : {Job{}, Job{.locked = true}, Job{.locked = true, .node = "node3"}, Job{.kind = JobKind::io},
                         Job{.locked = true, .node = "2", .kind = JobKind::cpu, .decay = DecayKind::none},
                         Job{.decay = DecayKind::fast}, Job{.disclosure = 0}, Job{.protect_s = 60},
                         Job{.protect_s = 60, .protect_mb = 512}, Job{.locked = true, .disclosure = 2}})
    EXPECT_EQ(job_from(text_of(job)), job) << text_of(job);
  EXPECT_EQ(text_of({}), "free");
}

TEST(Job, NonsenseFromOutsideSaysNothing) {
  EXPECT_EQ(job_from(""), Job{});
  EXPECT_EQ(job_from("locked,kind=,kind,decay=often,=,,node,disclosure=x,disclosure="), Job{});
  EXPECT_EQ(job_from("tomorrow=yes,lock,kind=io"), (Job{.locked = true, .kind = JobKind::io}));
  EXPECT_EQ(job_from("lock," + std::string(1'000, 'x')), Job{});
}

TEST(Job, AChangeLeavesTheRest) {
  const Job before{.locked = true, .node = "2", .kind = JobKind::cpu, .decay = DecayKind::fast};
  EXPECT_EQ(JobChange{}.applied_to(before), before);
  const Job after = JobChange{.locked = false, .kind = JobKind::none}.applied_to(before);
  EXPECT_EQ(after, (Job{.locked = false, .node = "2", .kind = JobKind::none, .decay = DecayKind::fast}));
  EXPECT_EQ(text_of(after), "free,decay=fast");
}

TEST(Job, AListHasItsNumbersAndRanges) {
  for (const u32 id : {1u, 4u, 5u, 6u, 19u}) EXPECT_EQ(list_has("1,4-6,19", id), true) << id;
  for (const u32 id : {2u, 7u, 18u, 0u}) EXPECT_EQ(list_has("1,4-6,19", id), false) << id;
  for (const char* wrong : {"", ",", "1,", "x", "1-", "-3", "6-4", "0", "1 ,2", "1-2-3", "99999999999"})
    EXPECT_EQ(list_has(wrong, 1), std::nullopt) << wrong;
}

// ---- placement

NodeLoad node(u32 id, double runnable) {
  NodeLoad n;
  n.id = id;
  n.cpus = 1;
  n.runnable = runnable;
  n.free_bytes = 8ull << 30;
  n.total_bytes = 16ull << 30;
  return n;
}

Candidate busy(i32 pid, u32 home) {
  Candidate c;
  c.pid = pid;
  c.home_id = home;
  c.demand = 1;
  c.samples = 8;
  c.age_ms = c.resident_ms = 5'000;
  c.rss_bytes = 10 << 20;
  return c;
}

// Four on node 1, nobody on node 2.
PlacementState crowded() {
  PlacementState state;
  state.self = node(1, 4);
  state.others = {node(2, 0)};
  state.own_load = 400;
  for (i32 pid = 100; pid < 104; ++pid) state.running.push_back(busy(pid, 1));
  return state;
}

TEST(Job, WhatIsLockedIsMovedByNoPolicy) {
  PlacementState state = crowded();
  for (const Policy& policy : policies())
    if (policy.move != MoveRule::none) {
      EXPECT_FALSE(decide(state, 1, policy).empty()) << policy.name;
    }
  for (Candidate& c : state.running) c.locked = true;
  for (const Policy& policy : policies()) EXPECT_TRUE(decide(state, 1, policy).empty()) << policy.name;
  EXPECT_EQ(unripe(state.running[0]), Unripe::locked);
  // A guest as well, wherever it would be better off, home included.
  state.running = {busy(200, 2)};
  state.running[0].away = state.running[0].locked = true;
  EXPECT_TRUE(decide(state, 1).empty());
  state.running[0].locked = false;
  EXPECT_FALSE(decide(state, 1).empty());
  // Who asks is obeyed.
  state = crowded();
  state.running[0].locked = true;
  EXPECT_EQ(decide_for(state, 100, 1, 1).size(), 1u);
}

TEST(Job, WithoutMemoryALockedOneGoesHomeAndNowhereElse) {
  PlacementState state;
  state.self = node(1, 1);
  state.others = {node(2, 0), node(3, 0)};
  state.running = {busy(100, 1)};
  state.running[0].locked = true;
  EXPECT_TRUE(usher(state, 1 << 20, 1).empty());  // it is at home
  state.running = {busy(200, 3)};
  state.running[0].away = true;
  EXPECT_EQ(usher(state, 1 << 20, 1).size(), 2u);
  state.running[0].locked = true;
  const auto home = usher(state, 1 << 20, 1);
  ASSERT_EQ(home.size(), 1u);
  EXPECT_EQ(home[0].target_id, 3u);
  // Where it cannot go home, another one is looked for.
  state.others = {node(2, 0)};
  EXPECT_TRUE(usher(state, 1 << 20, 1).empty());
  state.running.push_back(busy(201, 2));
  state.running[1].away = true;
  const auto other = usher(state, 1 << 20, 1);
  ASSERT_EQ(other.size(), 1u);
  EXPECT_EQ(other[0].pid, 201);
}

TEST(Job, OneForFilesStaysAtHomeAndIsDrawnThere) {
  PlacementState state = crowded();
  for (Candidate& c : state.running) c.kind = JobKind::io;
  for (const Policy& policy : policies()) EXPECT_TRUE(decide(state, 1, policy).empty()) << policy.name;
  EXPECT_EQ(unripe(state.running[0]), Unripe::io_bound);
  // Alone on a node of its own there is no reason to leave but this.
  state.self = node(1, 1);
  state.others = {node(2, 0), node(3, 0)};
  state.running = {busy(200, 2)};
  state.running[0].away = true;
  EXPECT_TRUE(decide(state, 1).empty());
  state.running[0].kind = JobKind::io;
  const auto moves = decide(state, 1);
  ASSERT_EQ(moves.size(), 1u);
  EXPECT_EQ(moves[0].target_id, 2u);
  state.running[0].demand = 0.1;  // it waits for its files
  EXPECT_EQ(decide(state, 1).size(), 1u);
  state.self = node(1, 4);
  state.others = {node(3, 0)};  // however much better off it would be there
  EXPECT_TRUE(decide(state, 1).empty());
}

TEST(Job, OfOneThatComputesTheCallsDoNotCount) {
  Candidate c = busy(100, 1);
  c.calls_per_s = 50'000;
  EXPECT_GT(penalty_of(c, 2), 2);
  c.kind = JobKind::cpu;
  EXPECT_LT(penalty_of(c, 2), 1.05);
  c.calls_known = false;
  EXPECT_LT(penalty_of(c, 2), 1.05);
  c.away = true;
  EXPECT_EQ(penalty_of(c, 1), 1);  // nor is it drawn home
}

}  // namespace
}  // namespace omig::cluster
