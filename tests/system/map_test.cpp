// SPDX-License-Identifier: Apache-2.0
// A cluster that is formed by a map: one file, the same for every node, and nothing else is said.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "tests/system/script.h"

namespace omig::test {

namespace {

fs::path write_map(const std::string& text) {
  const fs::path file = fresh_directory("map") / "cluster.map";
  std::ofstream(file) << text;
  return file;
}

// What homed says to these words when it must not start.
std::string complaint(std::vector<std::string> words) {
  words.insert(words.begin(), {build_path("homed/homed"), "--foreground", "--state-dir",
                               (fresh_directory("state") / "node").string()});
  const Outcome outcome = run({.words = words});
  EXPECT_FALSE(outcome.succeeded());
  EXPECT_FALSE(outcome.timed_out);
  return outcome.err;
}

TEST(MapFile, WhatIsWrongIsSaidInOneLine) {
  const std::string map = write_map("# two of one id\n1 10.0.0.1 4\n\n3 10.0.1.1 1\n");
  EXPECT_EQ(complaint({"--map", map}), "homed: " + map + ":4: id 3 is already in line 2\n");
  EXPECT_EQ(complaint({"--map", "/nowhere/x.map"}),
            "homed: cannot read the map /nowhere/x.map: No such file or directory\n");
  EXPECT_EQ(complaint({"--map", map, "--peer", "10.0.0.2"}),
            "homed: --map " + map + " and --peer 10.0.0.2: one of them forms the cluster, not both (homed --help)\n");
  // An address for documentation (RFC 5737), which no machine should have.
  const std::string other = write_map("1 203.0.113.77 1\n");
  EXPECT_EQ(complaint({"--map", other}).find("homed: this machine is not in the map " + other + ": it has 127.0.0.1"),
            0u);
  const std::string alone = write_map("5 127.0.0.1 1\n");
  EXPECT_EQ(complaint({"--map", alone, "--id", "6"}),
            "homed: --id 6: in the map " + alone + " this machine (127.0.0.1) is node 5\n");
}

TEST(MapFile, IsCheckedWithoutAHomed) {
  const std::string good = write_map("1 10.0.0.1 4\n9 localhost ALIAS # below\n"), alone = write_map("9 localhost 1\n");
  const Outcome bad = run({.words = {omctl_path(), "map", "check", good, "--json"}});
  EXPECT_EQ(bad.err, "omctl: " + good + ":2: ALIAS of node 9, which no line defines (the first of 2 mistakes)\n");
  EXPECT_EQ(nlohmann::json::parse(bad.out).at("ok"), false);
  EXPECT_FALSE(bad.succeeded());
  const Outcome fine = run({.words = {omctl_path(), "map", "check", alone}});
  EXPECT_TRUE(fine.succeeded()) << fine.err;
  EXPECT_EQ(fine.out, alone + ": 1 node\n");
}

TEST(MapFile, FormsACluster) {
  Lab lab(3);
  if (!lab.has_namespaces())
    GTEST_SKIP() << "needs nodes with addresses of their own: the lab has no namespaces here (not root)";
  std::vector<std::string> addresses(4);
  const auto nodes = nlohmann::json::parse(lab.omctl(1, {"nodes", "--json"}).out);
  for (const auto& node : nodes.at("nodes")) {
    const std::string endpoint = node.at("endpoint");
    addresses.at(node.at("id").get<size_t>()) = endpoint.substr(0, endpoint.find(':'));
  }
  // Other ids than the lab's, so that they can only come from the map; nodes 1 and 2 have consecutive addresses.
  const std::string map = write_map("# the lab\n11 " + addresses[1] + " 2\n40 " + addresses[3] + " 1\n");
  std::vector<std::unique_ptr<Child>> daemons;
  for (int node = 1; node <= 3; ++node) lab.kill_homed(node);
  for (int node = 1; node <= 3; ++node)
    daemons.push_back(std::make_unique<Child>(
        Command{.words = lab.on_node(node, {"env", "-u", "LD_PRELOAD", build_path("homed/homed"), "--foreground",
                                            "--state-dir", lab.state_dir(node), "--name", fmt::format("node{}", node),
                                            "--speed", "1", "--no-balance", "--map", map})},
        fresh_directory("homed")));
  const auto seen = [&](int node) {
    std::map<int, std::string> names;
    const auto answer = nlohmann::json::parse(lab.omctl(node, {"nodes", "--json"}).out, nullptr, false);
    if (!answer.is_object()) return names;
    for (const auto& each : answer.at("nodes")) names[each.at("id")] = each.at("name");
    return names;
  };
  const std::map<int, std::string> all = {{11, "node1"}, {12, "node2"}, {40, "node3"}};
  const auto end = Clock::now() + std::chrono::seconds(60);
  for (int node = 1; node <= 3; ++node) {
    while (seen(node) != all && Clock::now() < end) poll(nullptr, 0, 20);
    ASSERT_EQ(seen(node), all) << lab.logs();
  }
  EXPECT_EQ(lab.omctl(2, {"map", "show"}).out,
            fmt::format("11 {} 1\n12 {} 1\n40 {} 1\n", addresses[1], addresses[2], addresses[3]));
  // And it is one: a program goes to a node by the map's id.
  Child job({.words = lab.on_node(1, {build_path("examples/job"), "1", "1500000000"})}, fresh_directory("job"));
  const std::string pid = std::to_string(job.pid());
  ASSERT_TRUE(until_it_is("job", job.pid()));
  EXPECT_EQ(migrate(lab, job.pid(), "40"), "");
  EXPECT_EQ(lab.omctl(1, {"where", pid}).out, "node3\n");
  EXPECT_TRUE(job.wait_for_end(milliseconds(120'000)));
  EXPECT_TRUE(job.outcome().succeeded());
}

}  // namespace

}  // namespace omig::test
