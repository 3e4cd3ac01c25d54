// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "lib/cluster/discovery.h"

namespace omig::cluster {
namespace {

constexpr ClusterKey kKey{1, 2, 3};
constexpr i64 kNow = 1'800'000'000'000;

Presence node7() { return {7, "node7", *Endpoint::parse("10.0.0.7:7946"), kNow, 5}; }

std::string why_not(const std::string& datagram, const ClusterKey& key = kKey) {
  std::string why;
  EXPECT_FALSE(from_datagram(datagram, key, &why));
  return why;
}

TEST(Discovery, IsReadAsItWasWritten) {
  for (const std::string& name : {std::string("n"), std::string(kMaxName, 'x')}) {
    Presence presence = node7();
    presence.name = name;
    std::string why;
    const std::string datagram = to_datagram(presence, kKey);
    EXPECT_LE(datagram.size(), kMaxDatagram);
    EXPECT_EQ(from_datagram(datagram, kKey, &why), presence) << why;
  }
}

TEST(Discovery, NoByteMayBeAnother) {
  const std::string good = to_datagram(node7(), kKey);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(why_not(bad).empty()) << i;
    EXPECT_FALSE(why_not(good.substr(0, i)).empty()) << i;
  }
  EXPECT_FALSE(why_not(good + "x").empty());
  EXPECT_EQ(why_not(good, ClusterKey{1, 2, 4}), "made by a node of another cluster");
  EXPECT_EQ(why_not(std::string(5'000, 'O')), "not of omdiscd");
}

TEST(Discovery, WhoKnowsTheKeyMustStillMakeSense) {
  for (const auto& spoil :
       std::vector<void (*)(Presence&)>{[](Presence& p) { p.id = 0; }, [](Presence& p) { p.id = 65'536; },
                                        [](Presence& p) { p.at.port = 0; }, [](Presence& p) { p.name = "a b"; },
                                        [](Presence& p) { p.name = "\x1b[2J"; }, [](Presence& p) { p.time_ms = -1; }}) {
    Presence bad = node7();
    spoil(bad);
    EXPECT_EQ(why_not(to_datagram(bad, kKey)), "its figures make no sense");
  }
}

TEST(Discovery, ARecordedOneIsWorthNothing) {
  Freshness fresh;
  Presence presence = node7();
  EXPECT_EQ(fresh.take(presence, kNow + 10), "");
  EXPECT_EQ(fresh.take(presence, kNow + 20), "heard before");
  presence.counter = 4;
  EXPECT_EQ(fresh.take(presence, kNow + 20), "heard before");
  presence.counter = 6;
  EXPECT_EQ(fresh.take(presence, kNow + kDatagramLives_ms), "");
  presence.counter = 7;
  EXPECT_NE(fresh.take(presence, kNow + kDatagramLives_ms + 1), "");
  EXPECT_NE(fresh.take(presence, kNow - kDatagramLives_ms - 1), "");
  // Another node's counter is its own.
  presence.at.port = 1;
  presence.counter = 1;
  EXPECT_EQ(fresh.take(presence, kNow), "");
}

TEST(Discovery, GarbageIsMentionedOnceAMinute) {
  Complaints complaints;
  EXPECT_TRUE(complaints.due(1, 0));
  EXPECT_FALSE(complaints.due(1, 59'999));
  EXPECT_TRUE(complaints.due(2, 59'999));
  EXPECT_TRUE(complaints.due(1, 60'000));
  // A flood of forged sources is not remembered, nor told, without end.
  size_t told = 0;
  for (u32 source = 10; source < 100'000; ++source) told += complaints.due(source, 60'001) ? 1 : 0;
  EXPECT_LE(told, 1'024u);
  EXPECT_TRUE(complaints.due(5, 200'000));
}

}  // namespace
}  // namespace omig::cluster
