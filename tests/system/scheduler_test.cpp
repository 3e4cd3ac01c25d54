// SPDX-License-Identifier: Apache-2.0
// The first scheduler: an overloaded node gives busy programs away by itself, their output is right, and nothing
// ping-pongs.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/system/script.h"

namespace omig::test {

namespace {

using Json = nlohmann::json;

// What node 1's scheduler says that it did.
std::vector<Json> moves_told(const Lab& lab) {
  std::vector<Json> moves;
  std::istringstream lines(lab.omctl(1, {"log", "--json", "-n", "1000"}).out);
  for (std::string line; std::getline(lines, line);) moves.push_back(Json::parse(line));
  return moves;
}

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
  const std::vector<Json> log = moves_told(lab);
  EXPECT_TRUE(std::ranges::any_of(log,
                                  [](const Json& m) {
                                    return m.value("ok", false) && m.value("from", "") == "node1" &&
                                           m.value("freeze_ms", -1.0) >= 0 &&
                                           m.value("command", "").starts_with("perl") &&
                                           m.value("reason", "").find("on node1's") != std::string::npos;
                                  }))
      << Json(log).dump(1) << lab.logs();
  // Six programs, four nodes: a handful of moves each would be restlessness.
  EXPECT_LE(moves, 20) << lab.logs();
}

// Jobs of a quarter of a second, started by shells as make does: they go to where a CPU is free as they start, the
// shells, which only wait, stay; and jobs that end at once are not worth a move.
TEST(Scheduler, NewProgramsStartWhereACpuIsFree) {
  Lab lab(3, {"--balance", "--cpu", "40"});
  const std::string jobs = omctl_path().parent_path().parent_path() / "examples" / "jobs";
  Outcome shorts = run({.words = lab.on_node(1, {jobs, "40", "4", "8"})}, milliseconds(120'000));
  EXPECT_TRUE(shorts.succeeded()) << shorts.describe() << shorts.out << lab.logs();
  const auto is_start = [](const Json& m) { return m.value("cause", "") == "start"; };
  const auto of_shorts = std::ranges::count_if(moves_told(lab), is_start);
  EXPECT_LE(of_shorts, 2) << Json(moves_told(lab)).dump(1);
  Outcome outcome = run({.words = lab.on_node(1, {jobs, "24", "6", "300"})}, milliseconds(200'000));
  EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << outcome.out << lab.logs();
  EXPECT_NE(outcome.out.find("24 jobs, 0 wrong"), std::string::npos) << outcome.out;
  int started = 0, shells = 0;
  for (const Json& m : moves_told(lab)) {
    if (!is_start(m)) continue;
    const bool shell = m.value("command", "").starts_with("sh -c");
    (shell ? shells : started) += m.value("ok", false);
  }
  // Under so much load some shell may have needed as much as it takes to look like one that computes.
  EXPECT_LE(shells, started / 4) << Json(moves_told(lab)).dump(1) << lab.logs();
  EXPECT_GE(started, 3) << Json(moves_told(lab)).dump(1) << lab.logs();
}

// Three busy programs on 0.4 of a CPU, under a policy that leaves them there until it is changed while they run.
TEST(Scheduler, ThePolicyCanBeChangedWhileItRuns) {
  Lab lab(2, {"--balance", "--cpu", "40"});
  EXPECT_EQ(output_of(lab, R"(
answer = homed({"op": "policy", "name": "nonsense"})
assert not answer["ok"] and "openmosix" in answer["reason"], answer
assert homed({"op": "policy", "name": "home"})["ok"]
busy = [start(BUSY) for _ in range(3)]
try:
    limit = time.monotonic() + 30
    while True:  # until it would have moved them: the other rule says so
        why = homed({"op": "why", "pid": busy[0].pid})
        assert why["policy"] == "home" and "moves nothing" in why.get("decision", ""), why
        nodes = homed({"op": "nodes"})["nodes"]
        if sum(n["runnable"] for n in nodes if n["self"]) > 2.5 or time.monotonic() > limit: break
        time.sleep(0.1)
    time.sleep(1.5)  # a round of decisions, and a half
    log = homed({"op": "log"})
    own = {b.pid for b in busy}  # this script itself may have been started elsewhere before it could say a word
    assert not [m for m in log["moves"] if m["pid"] in own], log
    assert homed({"op": "policy", "name": "omig"})["ok"]
    log = homed({"op": "log", "after": log["last"], "wait": True})
    assert log["moves"], log
    print("moved", [n["policy"] for n in homed({"op": "nodes"})["nodes"] if n["self"]])
finally:
    for b in busy: b.kill()
)"),
            "moved ['omig']\n");
}

}  // namespace

}  // namespace omig::test
