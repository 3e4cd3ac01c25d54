// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "lib/cluster/doors.h"
#include "lib/cluster/membership.h"

namespace omig::cluster {
namespace {

NodeEntry entry(u32 id, const std::string& at, u64 seq = 1) {
  NodeEntry e;
  e.id = id;
  e.name = "n" + std::to_string(id);
  e.endpoint = *Endpoint::parse(at);
  e.seq = seq;
  return e;
}

Membership by_map(const std::string& text) {
  Membership membership;
  membership.form = Form::map;
  membership.id = 2;
  membership.listen = *Endpoint::parse("10.0.0.2:7000");
  membership.map = parse_resolved_map(text).map;
  return membership;
}

TEST(Membership, AMapAdmitsWhomItNames) {
  const Membership map = by_map("1 10.0.0.1 3\n3 10.1.0.3 ALIAS\n");
  EXPECT_TRUE(admits(map, entry(1, "10.0.0.1:7946")));
  EXPECT_TRUE(admits(map, entry(3, "10.1.0.3:7946")));   // by its other address
  EXPECT_FALSE(admits(map, entry(2, "10.0.0.1:7946")));  // as somebody else
  EXPECT_FALSE(admits(map, entry(4, "10.0.0.4:7946")));
  EXPECT_TRUE(admits(Membership{}, entry(4, "10.0.0.4:7946")));
  Membership alone;
  alone.form = Form::alone;
  EXPECT_FALSE(admits(alone, entry(4, "10.0.0.4:7946")));
}

TEST(Membership, IsReadAsItWasKept) {
  const Membership map = by_map("1 10.0.0.1 3\n");
  const auto again = membership_from_json(to_json(map));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json(*again), to_json(map));
  EXPECT_EQ(again->peers,
            (std::vector<Endpoint>{*Endpoint::parse("10.0.0.1:7000"), *Endpoint::parse("10.0.0.3:7000")}));
  for (const Form form : {Form::peers, Form::discovery, Form::alone}) {
    Membership other;
    other.form = form;
    other.id = 7;
    other.listen = map.listen;
    other.peers = {*Endpoint::parse("10.9.9.9:1")};
    const auto read = membership_from_json(to_json(other));
    ASSERT_TRUE(read) << form_name(form);
    EXPECT_EQ(to_json(*read), to_json(other));
  }
}

TEST(Membership, WhatMakesNoSenseIsNotTaken) {
  const nlohmann::json good = to_json(by_map("1 10.0.0.1 3\n"));
  ASSERT_TRUE(membership_from_json(good));
  for (const auto& [key, value] : good.items()) {
    nlohmann::json missing = good, other = good;
    missing.erase(key);
    other[key] = nlohmann::json::array();
    EXPECT_FALSE(membership_from_json(missing)) << key;
    EXPECT_FALSE(membership_from_json(other)) << key;
  }
  nlohmann::json bad = good;
  bad["map"] = "1 host.example.org 3\n";  // names are looked up before
  EXPECT_FALSE(membership_from_json(bad));
  bad = good;
  bad["id"] = 1;  // not who is at this address
  EXPECT_FALSE(membership_from_json(bad));
  bad = good;
  bad["form"] = "peers";
  EXPECT_FALSE(membership_from_json(bad));
  bad["peers"] = {"10.0.0.1"};
  EXPECT_FALSE(membership_from_json(bad));
  EXPECT_FALSE(membership_from_json(nlohmann::json::array()));
}

nlohmann::json from(const NodeEntry& sender, bool left = false) {
  nlohmann::json message{{"entry", to_json(sender)}};
  if (left) message["entry"]["left"] = true;
  return message;
}

struct Place {
  Place() {
    Membership membership;
    membership.id = 99;
    doors.keep(membership, 0);
  }
  Window window;
  Doors doors{window};
};

TEST(Doors, WhoHasLeftIsNotBroughtBackByOldNews) {
  Place here, there;
  EXPECT_TRUE(here.doors.take(from(entry(1, "10.0.0.1:1", 5)), 0));
  EXPECT_TRUE(there.doors.take({{"window", here.doors.tell(5, 10)}}, 5));
  EXPECT_TRUE(here.doors.take(from(entry(1, "10.0.0.1:1", 7), true), 10));
  EXPECT_EQ(here.window.all().size(), 0u);
  // The word travels, and older ones come too late.
  const nlohmann::json older = there.doors.tell(15, 10);
  EXPECT_TRUE(there.doors.take({{"window", here.doors.tell(15, 10)}}, 15));
  EXPECT_FALSE(there.doors.take({{"window", here.doors.tell(15, 10)}}, 15));
  EXPECT_EQ(there.window.all().size(), 0u);
  EXPECT_FALSE(here.doors.take({{"window", older}}, 20));
  EXPECT_FALSE(here.doors.take(from(entry(1, "10.0.0.1:1", 6)), 20));
  EXPECT_EQ(here.window.all().size(), 0u);
  // It is back: then the word is old itself.
  const nlohmann::json farewell = there.doors.tell(25, 10);
  EXPECT_TRUE(here.doors.take(from(entry(1, "10.0.0.1:1", 8)), 30));
  EXPECT_FALSE(here.doors.take({{"window", farewell}}, 40));
  EXPECT_TRUE(here.window.find("n1") != nullptr && here.window.find("n1")->alive(40));
  EXPECT_EQ(there.doors.tell(25 + kForgetAfter_ms, 10).size(), 0u);
}

TEST(Doors, WhoseClockWasSetBackHearsHowFarItHadCome) {
  Place here;
  NodeEntry before = entry(1, "10.0.0.1:1", 7), now = before, stranger = before;
  before.identity = now.identity = "its own";
  before.incarnation = 100, now.incarnation = 50, stranger.incarnation = 50;
  EXPECT_EQ(here.doors.later_than(now), 0u);
  here.doors.take(from(before), 0);
  EXPECT_EQ(here.doors.later_than(now), 100u);
  EXPECT_EQ(here.doors.later_than(stranger), 0u);
  here.doors.take(from(before, true), 1);
  before.seq = 8;
  here.doors.take(from(before, true), 1);
  EXPECT_EQ(here.window.all().size(), 0u);
  EXPECT_EQ(here.doors.later_than(now), 100u) << "who has left";
  now.incarnation = 101;
  EXPECT_EQ(here.doors.later_than(now), 0u);
  EXPECT_TRUE(here.doors.take(from(now), 2));
}

TEST(Doors, ANumberThatIsFreeAgainMayBeAnOlderDaemons) {
  Place here;
  NodeEntry gone = entry(1, "10.0.0.1:1", 7);
  gone.incarnation = 100;
  here.doors.take(from(gone), 0);
  here.doors.take(from(gone, true), 0);
  gone.seq = 8;
  here.doors.take(from(gone, true), 0);
  EXPECT_TRUE(here.doors.take(from(entry(1, "10.0.0.9:1", 1)), 10));
  EXPECT_EQ(here.window.find("n1")->entry.endpoint.text(), "10.0.0.9:1");
  EXPECT_FALSE(here.doors.take(from(gone), 20));
}

TEST(Doors, AnotherNumberAtTheSameAddressIsTheSameNode) {
  Place here;
  NodeEntry before = entry(1, "10.0.0.1:1", 7), now = entry(11, "10.0.0.1:1", 9);
  before.name = now.name = "n";
  EXPECT_TRUE(here.doors.take(from(before), 0));
  EXPECT_TRUE(here.doors.take(from(now), 10));
  before.seq = 8;
  EXPECT_FALSE(here.doors.take(from(before), 20));  // was under way
  EXPECT_EQ(here.window.all().size(), 1u);
  EXPECT_EQ(here.window.find("n")->entry.id, 11u);
}

TEST(Doors, WhoIsNotAdmittedIsForgotten) {
  Place here;
  for (u32 id = 1; id <= 3; ++id) here.doors.take(from(entry(id, "10.0.0." + std::to_string(id) + ":1")), 0);
  here.window.suspect(1);
  here.doors.keep(by_map("1 10.0.0.1 2\n"), 5);
  EXPECT_EQ(here.window.all().size(), 1u);  // node 2 is who we are now
  EXPECT_FALSE(here.window.find(1)->alive(5));
  EXPECT_EQ(here.window.find(1)->produced_ms, 0);
  EXPECT_FALSE(here.doors.take(from(entry(3, "10.0.0.3:1", 9)), 10));
  here.doors.keep({}, 15);
  EXPECT_TRUE(here.doors.take(from(entry(3, "10.0.0.3:1", 9)), 20));
  EXPECT_EQ(here.window.all().size(), 2u);
}

TEST(Doors, NothingMakesNoSense) {
  Place here;
  for (const auto& bad : {nlohmann::json::object(), nlohmann::json{{"entry", 5}}, nlohmann::json{{"window", 5}},
                          nlohmann::json{{"window", {1, "x", nlohmann::json::object()}}}})
    EXPECT_FALSE(here.doors.take(bad, 0));
}

}  // namespace
}  // namespace omig::cluster
