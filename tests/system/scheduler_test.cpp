// SPDX-License-Identifier: Apache-2.0
// The first scheduler: an overloaded node gives busy programs away by itself, their output is right, and nothing
// ping-pongs.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

using Json = nlohmann::json;

TEST(Scheduler, SpreadsBusyPrograms) {
  Lab lab(4, {"--balance", "--cpu", "40"});
  // Six programs that compute for some seconds of CPU time on a node that has 0.4 of one.
  const std::string work = "my $x = 1; for (1 .. 12_000_000) { $x = ($x * 7919 + 3) % 1000003 } print \"$x\\n\"";
  Outcome native = run({.words = {"perl", "-e", work}});
  ASSERT_TRUE(native.succeeded()) << native.err;
  fs::path directory = fresh_directory("busy");
  fs::path output = directory / "out";
  std::string script;
  for (int i = 0; i < 6; i++) script += fmt::format("perl -e '{}' > {}.{} & ", work, output.string(), i);
  Child child(
      {.words = lab.on_node(1, {"bash", "-c", script + "wait"}), .environment = {{"OMIG_TEST_FIFOS", directory}}},
      directory);
  std::set<std::string> nodes;
  int moves = 0;
  auto end = Clock::now() + std::chrono::seconds(100);
  while (!child.wait_for_end(milliseconds(200)) && Clock::now() < end) {
    Outcome ps = lab.omctl(1, {"ps", "--json"});
    if (!ps.succeeded()) continue;
    int now = 0;
    const Json answer = Json::parse(ps.out);  // named: a loop over a part of a temporary outlives it
    for (const Json& each : answer.at("processes")) {
      nodes.insert(each.value("node", ""));
      now += each.value("moves", 0);
    }
    moves = std::max(moves, now);
  }
  Outcome outcome = child.outcome();
  EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << outcome.err << lab.logs();
  for (int i = 0; i < 6; i++) EXPECT_EQ(read_file(fmt::format("{}.{}", output.string(), i)), native.out) << i;
  EXPECT_GE(nodes.size(), 3u) << "seen on " << nodes.size() << " nodes only\n" << lab.logs();
  // Six programs, four nodes: a handful of moves each would be restlessness.
  EXPECT_LE(moves, 20) << lab.logs();
}

}  // namespace

}  // namespace omig::test
