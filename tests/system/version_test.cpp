// SPDX-License-Identifier: Apache-2.0
// Nodes of different versions in one cluster: they do not work together, say so in one line, and nothing is lost.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <nlohmann/json.hpp>

#include "lib/wire/link.h"
#include "tests/system/compare.h"
#include "tests/system/mover.h"
#include "tests/system/refused.h"

namespace omig::test {

namespace {

constexpr u32 kOther = wire::kVersion + 98;

class Versions : public testing::Test {
 protected:
  Lab lab{3};

  static std::string fake_peer() { return build_path("tests/system/fake_peer"); }

  std::string address_of(int node) {
    auto nodes = nlohmann::json::parse(lab.omctl(1, {"nodes", "--json"}).out, nullptr, false);
    for (const auto& each : nodes.value("nodes", nlohmann::json::array()))
      if (each.value("name", "") == fmt::format("node{}", node)) return each.value("endpoint", "");
    return "";
  }

  // Asks node 1 as node 3 would.
  nlohmann::json ask_node1(const nlohmann::json& question) {
    Outcome outcome = run({.words = lab.on_node(3, {"env", "-u", "LD_PRELOAD", fake_peer(), "ask", address_of(1),
                                                    lab.state_dir(3), question.dump()})});
    EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << outcome.err;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }

  std::string where(pid_t pid) { return lab.omctl(1, {"where", std::to_string(pid)}).out; }
};

TEST_F(Versions, ATargetOfAnotherVersionIsRefusedAndNamed) {
  const std::string address = address_of(3);
  ASSERT_NE(address, "");
  MovePlan plan;
  plan.seed = run_seed();
  plan.instead = [&](pid_t pid) -> std::string {
    lab.kill_homed(3);
    fs::path directory = fresh_directory("fake-peer");
    Child peer({.words = lab.on_node(3, {"env", "-u", "LD_PRELOAD", fake_peer(), "listen", address, lab.state_dir(3),
                                         std::to_string(kOther)}),
                .environment = {{"OMIG_TEST_FIFOS", directory}}},
               directory);
    auto has_said = [&](const std::string& text) {
      auto end = Clock::now() + std::chrono::seconds(20);
      while (read_file(directory / "stdout").find(text) == std::string::npos && !peer.ended() && Clock::now() < end)
        poll(nullptr, 0, 5);
      return read_file(directory / "stdout").find(text) != std::string::npos;
    };
    if (!has_said("listening")) return "the fake peer does not listen: " + peer.outcome().err;
    // While node 3 is still believed to be up, the other side says it; later homed knows it from the gossip.
    std::string mismatch = fmt::format("version mismatch: node3 speaks {}", kOther);
    auto move = [&] { return answer_to_migrate(lab, pid, "node3"); };
    if (std::string wrong = not_refused(move(), mismatch); !wrong.empty()) return wrong;
    if (!has_said("move")) return "nobody asked the fake peer to take it";
    if (!has_said("gossip")) return "nobody told the fake peer any news";
    auto end = Clock::now() + std::chrono::seconds(30);
    auto down = [&] { return move().err.find("node3 is down") != std::string::npos; };
    while (!down() && Clock::now() < end) poll(nullptr, 0, 100);
    if (std::string wrong = not_refused(move(), "node3 is down (" + mismatch); !wrong.empty()) return wrong;
    if (where(pid) != "node1\n") return "it is not where it was";
    return migrate(lab, pid, "node2");
  };
  const Command program = worker();
  MovedRun want = run_program(program, Flavour::native, nullptr, {});
  MovedRun got = run_program(program, Flavour::moved, &lab, plan);
  EXPECT_EQ(differences(got, want), "") << circumstances(got, &lab);
}

TEST_F(Versions, RequestsOfAnotherVersionAreAnsweredWithOurs) {
  const std::string mine = fmt::format("version mismatch: node1 speaks {}", wire::kVersion);
  const std::string before = lab.omctl(1, {"nodes"}).out;
  for (const char* op : {"move", "gossip", "hello"}) {
    // A stranger's gossip must not get into the window, whatever else it says.
    nlohmann::json answer = ask_node1({{"op", op},
                                       {"version", kOther},
                                       {"pid", 4711},
                                       {"home", "node3"},
                                       {"entry", {{"id", 9}, {"name", "node9"}, {"endpoint", "10.77.0.9:7946"}}},
                                       {"window", nlohmann::json::array()}});
    ASSERT_TRUE(answer.is_object()) << op;
    EXPECT_FALSE(answer.value("ok", true)) << op << answer.dump();
    EXPECT_EQ(answer.value("reason", ""), mine) << op;
  }
  EXPECT_EQ(lab.omctl(1, {"nodes"}).out.find("node9"), std::string::npos);
  // One that still understands ours is heard.
  for (const char* op : {"move", "gossip"}) {
    const nlohmann::json answer = ask_node1({{"op", op},
                                             {"version", kOther},
                                             {"oldest_version", wire::kVersion},
                                             {"pid", 4711},
                                             {"home", "node3"},
                                             {"window", nlohmann::json::array()}});
    ASSERT_TRUE(answer.is_object()) << op;
    EXPECT_TRUE(answer.value("ok", false)) << op << answer.dump();
  }
  EXPECT_EQ(lab.hosts(1).size(), 0u);
  EXPECT_EQ(lab.health(), "");
}

}  // namespace

}  // namespace omig::test
