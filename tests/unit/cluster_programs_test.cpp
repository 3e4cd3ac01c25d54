// SPDX-License-Identifier: Apache-2.0
// What is remembered of programs, and what that makes of a new process.
#include <gtest/gtest.h>

#include "lib/cluster/programs.h"
#include "lib/cluster/start.h"

namespace omig::cluster {
namespace {

Program run(double life_ms, double cpu_ms, double demand) {
  Program p;
  p.life_ms = life_ms;
  p.cpu_ms = cpu_ms;
  p.demand = demand;
  return p;
}

TEST(Programs, WhatComputesIsPlacedAtOnceWhatIsShortOrWaitsNever) {
  Programs programs;
  EXPECT_EQ(start_wish(programs.find("cc1")), StartWish::after_a_while);
  for (int i = 0; i < 3; ++i) {
    programs.ended("cc1", run(900, 700, 1), i);
    programs.ended("true", run(3, 3, 1), i);
    // Looked runnable while the node was crowded, and used 4 ms of nearly a second.
    programs.ended("sh", run(900, 4, 1), i);
    programs.ended("server", run(60'000, 900, 0.02), i);
  }
  EXPECT_EQ(start_wish(programs.find("cc1")), StartWish::at_once);
  EXPECT_EQ(start_wish(programs.find("true")), StartWish::never);
  EXPECT_EQ(start_wish(programs.find("sh")), StartWish::never);
  EXPECT_EQ(start_wish(programs.find("server")), StartWish::never);
  EXPECT_TRUE(waits_mostly(programs.find("sh")));
  EXPECT_FALSE(waits_mostly(programs.find("true")));
  EXPECT_FALSE(waits_mostly(programs.find("unknown")));
}

TEST(Programs, TheNewerRunsCountMore) {
  Programs programs;
  for (int i = 0; i < 10; ++i) programs.ended("p", run(1'000, 1'000, 1), i);
  EXPECT_DOUBLE_EQ(programs.find("p")->life_ms, 1'000);
  for (int i = 0; i < 10; ++i) programs.ended("p", run(10, 10, 1), i);
  EXPECT_LT(programs.find("p")->life_ms, 50);
  EXPECT_EQ(start_wish(programs.find("p")), StartWish::never);
}

TEST(Programs, TheOneThatNobodyUsesMakesRoom) {
  Programs programs(2);
  programs.ended("a", run(1, 1, 1), 1);
  programs.ended("b", run(1, 1, 1), 2);
  programs.ended("a", run(1, 1, 1), 3);
  programs.ended("c", run(1, 1, 1), 4);
  EXPECT_EQ(programs.size(), 2u);
  EXPECT_EQ(programs.find("b"), nullptr);
  EXPECT_NE(programs.find("a"), nullptr);
}

TEST(Programs, WhatCallsHomeMuchStartsAtHomeEvenInACrowd) {
  const auto step_for = [](double calls_per_s) {
    Program p = run(3'000, 2'500, 1);
    p.calls_per_s = calls_per_s;
    p.runs = 3;
    StartView view;
    view.home.id = 1;
    view.home.cpus = 1;
    view.home.runnable = 2;
    NodeLoad idle = view.home;
    idle.id = 2;
    idle.runnable = 0;
    view.known = {idle};
    view.job = start_candidate(&p, 100, 1);
    return next_step(view, 1).kind;
  };
  EXPECT_EQ(step_for(0), StartStep::Kind::offer);
  EXPECT_EQ(step_for(20'000), StartStep::Kind::here);
}

// Half of a CPU is a slow one, and an idle one is free none the less.
TEST(Programs, NodesWithLessThanACpuAreAsked) {
  StartView view;
  view.home.id = 1;
  view.home.cpus = 0.4;
  view.home.runnable = 1;
  NodeLoad idle = view.home;
  idle.id = 2;
  idle.runnable = 0;
  view.known = {idle};
  view.job = start_candidate(nullptr, 100, 1);
  const StartStep step = next_step(view, 1);
  ASSERT_EQ(step.kind, StartStep::Kind::offer);
  EXPECT_TRUE(accepts(idle, step.offer));
  idle.runnable = 1;
  EXPECT_FALSE(accepts(idle, step.offer));
}

}  // namespace
}  // namespace omig::cluster
