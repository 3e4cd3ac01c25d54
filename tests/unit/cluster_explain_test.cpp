// SPDX-License-Identifier: Apache-2.0
// Decisions in words: what they say must be what the rules do.
#include <gtest/gtest.h>

#include <charconv>

#include "lib/cluster/explain.h"

namespace omig::cluster {
namespace {

NodeLoad node(u32 id, double cpus, double runnable) {
  NodeLoad n;
  n.id = id;
  n.cpus = cpus;
  n.runnable = runnable;
  n.free_bytes = 8ull << 30;
  n.total_bytes = 16ull << 30;
  return n;
}

Candidate busy() {
  Candidate c;
  c.pid = 100;
  c.home_id = 1;
  c.demand = 1;
  c.samples = 8;
  c.age_ms = c.resident_ms = 3'000;
  c.rss_bytes = 1 << 20;
  return c;
}

std::string name_of(u32 id) { return "node" + std::to_string(id); }

std::string told(const PlacementState& state, const Candidate& c) { return explain(state, c, kOmig, name_of); }

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Explain, WhatMovesIsSaidToMove) {
  PlacementState state;
  state.self = node(1, 1, 3);
  state.others = {node(2, 1, 5), node(3, 1, 0)};
  state.running = {busy()};
  const std::string text = told(state, busy());
  EXPECT_TRUE(has(text, "about to go to node3")) << text;
  EXPECT_TRUE(has(text, "3.0 on node1's 1.00 CPUs")) << text;
  const auto moves = decide(state, 1);
  ASSERT_EQ(moves.size(), 1u);
  EXPECT_EQ(moves[0].target_id, 3u);
  EXPECT_GT(moves[0].gain, 0);
  EXPECT_TRUE(has(reason_of(moves[0], state, name_of), "0.0 on node3's 1.00 CPUs"))
      << reason_of(moves[0], state, name_of);
}

// Whoever follows the advice gets what it promises: with so many threads more it moves, with one less it does not.
TEST(Explain, WhatWouldHaveToChangeIsTrue) {
  for (const double there : {0.0, 1.0, 2.0, 5.0, 9.0}) {
    PlacementState state;
    state.self = node(1, 1, 1);
    state.others = {node(2, 1, there)};
    state.running = {busy()};
    const std::string text = told(state, busy());
    constexpr std::string_view kBefore = "It would go to node2 if ";
    const size_t at = text.find(kBefore);
    ASSERT_NE(at, std::string::npos) << text;
    u32 more = 0;
    std::from_chars(text.data() + at + kBefore.size(), text.data() + text.size(), more);
    ASSERT_GE(more, 1u) << text;
    state.self.runnable = 1.0 + more - 1;
    EXPECT_TRUE(decide(state, 1).empty()) << text;
    state.self.runnable = 1.0 + more;
    EXPECT_EQ(decide(state, 1).size(), 1u) << text;
  }
}

TEST(Explain, EveryReasonToStayHasItsWords) {
  PlacementState state;
  state.self = node(1, 1, 3);
  state.others = {node(2, 1, 0)};
  Candidate c = busy();
  c.age_ms = 100;
  EXPECT_TRUE(has(told(state, c), "100 ms old"));
  c = busy();
  c.demand = 0.1;
  EXPECT_TRUE(has(told(state, c), "hardly wants a CPU"));
  c = busy();
  c.moves = 2;
  c.resident_ms = 1'000;
  EXPECT_TRUE(has(told(state, c), "stays at least 3.0 s"));
  c = busy();
  c.rss_bytes = 9ull << 30;
  EXPECT_TRUE(has(told(state, c), "It stays until a node has"));
  state.others.clear();
  EXPECT_TRUE(has(told(state, busy()), "no other node"));
  EXPECT_TRUE(has(explain(state, busy(), *policy_named("home"), name_of), "moves nothing"));
}

}  // namespace
}  // namespace omig::cluster
