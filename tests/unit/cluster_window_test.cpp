// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "lib/cluster/window.h"

namespace omig::cluster {
namespace {

NodeEntry entry(u32 id, u64 incarnation, u64 seq) {
  NodeEntry e;
  e.id = id;
  e.name = "n" + std::to_string(id);
  e.endpoint = *Endpoint::parse("10.0.0." + std::to_string(id) + ":7946");
  e.incarnation = incarnation;
  e.seq = seq;
  return e;
}

TEST(Window, OnlyNewerNewsCount) {
  Window window;
  EXPECT_TRUE(window.merge(entry(1, 5, 10), 0, 100));
  EXPECT_FALSE(window.merge(entry(1, 5, 10), 0, 200));
  EXPECT_FALSE(window.merge(entry(1, 5, 9), 0, 200));
  EXPECT_TRUE(window.merge(entry(1, 6, 1), 0, 200));  // restarted
  EXPECT_EQ(window.find(1)->produced_ms, 200);
}

TEST(Window, AgeTravelsInsteadOfClocks) {
  Window there, here;
  there.merge(entry(1, 1, 1), 0, 1'000'000);
  const auto news = here.merge_json(there.to_json(1'000'700, 10), 50, 0);
  EXPECT_EQ(news, std::vector<u32>{1});
  EXPECT_EQ(here.find(1)->produced_ms, 50 - 700);
  EXPECT_TRUE(here.find(1)->alive(50));
  EXPECT_FALSE(here.find(1)->alive(50 + kAliveFor_ms));
}

TEST(Window, OwnEntryIsNotTakenFromOthers) {
  Window there, here;
  there.merge(entry(1, 1, 1), 0, 0);
  there.merge(entry(2, 1, 1), 0, 0);
  EXPECT_EQ(here.merge_json(there.to_json(0, 10), 0, 1), std::vector<u32>{2});
  EXPECT_EQ(here.find(1), nullptr);
}

TEST(Window, TheFreshestAreSentFirst) {
  Window window;
  for (u32 id = 1; id <= 5; ++id) window.merge(entry(id, 1, 1), 100 * id, 1'000);
  const auto json = window.to_json(1'000, 2);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["id"], 1);
  EXPECT_EQ(json[1]["id"], 2);
}

TEST(Window, FoundByNameOrNumber) {
  Window window;
  window.merge(entry(7, 1, 1), 0, 0);
  EXPECT_NE(window.find("n7"), nullptr);
  EXPECT_NE(window.find("7"), nullptr);
  EXPECT_EQ(window.find("7x"), nullptr);
  EXPECT_EQ(window.find(""), nullptr);
}

TEST(Window, WhatIsNotAnEntryIsNotTaken) {
  const nlohmann::json good = to_json(entry(1, 1, 1));
  ASSERT_TRUE(entry_from_json(good));
  for (const auto& [key, value] : good.items()) {
    nlohmann::json missing = good, other = good;
    missing.erase(key);
    other[key] = nlohmann::json::array();
    EXPECT_EQ(entry_from_json(missing).has_value(), key == "oldest_version") << key;
    EXPECT_FALSE(entry_from_json(other)) << key;
  }
  nlohmann::json bad = good;
  bad["cpus"] = 0;
  EXPECT_FALSE(entry_from_json(bad));
  bad = good;
  bad["name"] = std::string(40, 'x');
  EXPECT_FALSE(entry_from_json(bad));
  bad = good;
  bad["id"] = -1;
  EXPECT_FALSE(entry_from_json(bad));
}

TEST(Window, NodesWhoseVersionsMeetArePeers) {
  const auto speaks = [](const nlohmann::json& said) {
    const auto e = entry_from_json(said);
    return e ? e->versions : wire::Versions{1, 0};
  };
  nlohmann::json said = to_json(entry(1, 1, 1));
  said.erase("oldest_version");  // as nodes say that speak one version
  said["version"] = wire::kVersion;
  EXPECT_TRUE(speaks(said).meet(wire::kSpoken));
  said["version"] = wire::kVersion + 1;
  EXPECT_FALSE(speaks(said).meet(wire::kSpoken));
  said["oldest_version"] = wire::kVersion;
  EXPECT_TRUE(speaks(said).meet(wire::kSpoken));
  said["version"] = wire::kOldest - 1;
  EXPECT_FALSE(entry_from_json(said)) << "older than its oldest";
  EXPECT_EQ(wire::version_mismatch("node3", {7, 8}), "version mismatch: node3 speaks 7 to 8");
}

TEST(Window, TheFirstKeepsItsNumberAndNameWhileItLives) {
  Window window;
  window.merge(entry(1, 1, 1), 0, 0);
  NodeEntry thief = entry(1, 9, 1);
  thief.name = "thief";
  thief.endpoint = *Endpoint::parse("10.0.0.9:7946");
  EXPECT_FALSE(window.merge(thief, 0, 100));
  thief.id = 2;
  EXPECT_TRUE(window.merge(thief, 0, 100));
  NodeEntry namesake = entry(3, 9, 1);
  namesake.name = "n1";
  namesake.endpoint = *Endpoint::parse("10.0.0.8:7946");
  EXPECT_EQ(window.conflict(namesake, 100)->id, 1u);
  EXPECT_TRUE(window.merge(entry(1, 2, 1), 0, 100));  // itself, restarted
  EXPECT_TRUE(window.merge(namesake, 0, 101 + kAliveFor_ms));
}

TEST(Window, ASuspectIsNotCountedOnUntilItIsHeardOfAgain) {
  Window window;
  window.merge(entry(1, 1, 1), 0, 0);
  window.suspect(1);
  EXPECT_FALSE(window.find(1)->alive(0));
  EXPECT_FALSE(window.merge(entry(1, 1, 1), 0, 10));  // old news prove nothing
  EXPECT_FALSE(window.find(1)->alive(10));
  EXPECT_TRUE(window.merge(entry(1, 1, 2), 0, 10));
  EXPECT_TRUE(window.find(1)->alive(10));
}

TEST(Gossip, AFullWindowKeepsTheFreshest) {
  Gossip<NodeLoad> gossip(3);
  const auto load = [](u32 id) {
    NodeLoad n;
    n.id = id;
    n.seq = 1;
    return n;
  };
  for (u32 id = 1; id <= 3; ++id) gossip.merge(load(id), 0, 100 * id);
  EXPECT_FALSE(gossip.merge(load(4), 500, 500));  // staler than any
  EXPECT_TRUE(gossip.merge(load(5), 0, 500));
  EXPECT_EQ(gossip.find(1), nullptr);
  const auto freshest = gossip.freshest(2);
  ASSERT_EQ(freshest.size(), 2u);
  EXPECT_EQ(freshest[0]->entry.id, 5u);
  EXPECT_EQ(freshest[1]->entry.id, 3u);
}

TEST(Window, OldNodesAreForgotten) {
  Window window;
  window.merge(entry(1, 1, 1), 0, 0);
  window.forget_old(kForgetAfter_ms);
  EXPECT_NE(window.find(1), nullptr);
  window.forget_old(kForgetAfter_ms + 1);
  EXPECT_EQ(window.find(1), nullptr);
}

}  // namespace
}  // namespace omig::cluster
