// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "homed/map_file.h"
#include "lib/cluster/map.h"

namespace omig::cluster {
namespace {

std::optional<u32> known_hosts(const std::string& name) {
  if (name == "alpha") return parse_ipv4("10.0.0.1");
  if (name == "beta.example.org") return parse_ipv4("10.0.0.2");
  if (name == "debian") return parse_ipv4("127.0.1.1");
  return std::nullopt;
}

ParsedMap parse(const std::string& text) { return parse_map(text, known_hosts); }

// "LINE: TEXT" of each error, each on a line.
std::string errors(const std::string& text) {
  std::string all;
  for (const MapError& error : parse(text).errors) all += fmt::format("{}: {}\n", error.line, error.text);
  return all;
}

TEST(Map, TwoNetworksAndAnAliasBetweenThem) {
  const std::string text =
      "# 10.1.1\n 1 10.1.1.100 16 # the laboratory\n17\t10.1.1.200 1\r\n\n18 10.1.2.100 7\n"
      "8 10.1.2.107 ALIAS # the bridge\n25 10.1.2.108 100";
  const ParsedMap parsed = parse(text);
  ASSERT_EQ(errors(text), "");
  EXPECT_EQ(parsed.map.nodes(), 124u);
  EXPECT_EQ(parsed.map.id_of(*parse_ipv4("10.1.1.107")), 8u);
  EXPECT_EQ(parsed.map.id_of(*parse_ipv4("10.1.2.107")), 8u);
  EXPECT_EQ(parsed.map.id_of(*parse_ipv4("10.1.2.207")), 124u);
  EXPECT_EQ(parsed.map.id_of(*parse_ipv4("10.1.2.208")), std::nullopt);
  EXPECT_EQ(parsed.map.address_of(8), parse_ipv4("10.1.1.107"));
  EXPECT_EQ(parsed.map.address_of(125), std::nullopt);
  EXPECT_EQ(parsed.map.text(),
            "1 10.1.1.100 16\n17 10.1.1.200 1\n18 10.1.2.100 7\n25 10.1.2.108 100\n8 10.1.2.107 ALIAS\n");
  EXPECT_EQ(parse(parsed.map.text()).map.text(), parsed.map.text());
}

TEST(Map, HostNames) {
  const ParsedMap parsed = parse("1 alpha 1\n65535 beta.example.org 1\n");
  ASSERT_TRUE(parsed.errors.empty());
  EXPECT_EQ(parsed.map.text(), "1 10.0.0.1 1\n65535 10.0.0.2 1\n");
  EXPECT_EQ(errors("1 alpha 1\n\n2 gamma 1\n"), "3: host gamma has no IPv4 address that can be found\n");
  EXPECT_EQ(errors("1 al/pha 1\n"), "1: al/pha is neither an IPv4 address nor a host name\n");
}

TEST(Map, IdsAndAddressesTwice) {
  EXPECT_EQ(errors("# x\n4 10.0.0.4 1\n4 10.0.0.5 1\n"), "3: id 4 is already in line 2\n");
  EXPECT_EQ(errors("9 10.0.0.9 1\n4 10.0.0.9 1\n"), "2: address 10.0.0.9 is already in line 1\n");
  EXPECT_EQ(errors("1 10.0.0.1 8\n8 10.0.1.1 4\n"), "2: ids 8..11 overlap those of line 1 (1..8)\n");
  EXPECT_EQ(errors("8 10.0.1.1 4\n1 10.0.0.1 8\n"), "2: ids 1..8 overlap those of line 1 (8..11)\n");
  EXPECT_EQ(errors("1 10.0.0.1 8\n9 10.0.0.8 2\n"),
            "2: addresses 10.0.0.8..10.0.0.9 overlap those of line 1 (10.0.0.1..10.0.0.8)\n");
  // A wide range that others lie in, not only next to.
  EXPECT_EQ(errors("1 10.0.0.1 100\n3 10.0.2.1 2\n50 10.0.3.1 1\n"),
            "2: ids 3..4 overlap those of line 1 (1..100)\n3: id 50 is already in line 1\n");
}

TEST(Map, Aliases) {
  EXPECT_EQ(errors("1 10.0.0.1 2\n3 10.0.1.1 ALIAS\n"), "2: ALIAS of node 3, which no line defines\n");
  EXPECT_EQ(errors("1 10.0.0.1 2\n18 10.1.2.100 108\n1 10.1.2.107 ALIAS\n"),
            "3: ALIAS 10.1.2.107 is inside the range of line 2 (10.1.2.100..10.1.2.207): split that range\n");
  EXPECT_EQ(errors("1 10.0.0.1 2\n1 10.1.0.1 ALIAS\n2 10.1.0.1 ALIAS\n"), "3: address 10.1.0.1 is already in line 2\n");
  // It may stand above what it refers to.
  EXPECT_EQ(errors("1 10.1.0.1 ALIAS\n1 10.0.0.1 2\n"), "");
}

TEST(Map, Loopback) {
  EXPECT_EQ(errors("1 127.0.0.1 1\n"), "");
  const std::string why = "is in 127.0.0.0/8, which is every machine itself; this map has 2 nodes\n";
  EXPECT_EQ(errors("1 127.0.0.1 2\n"), "1: 127.0.0.1 " + why);
  EXPECT_EQ(errors("1 10.0.0.1 1\n2 debian 1\n"), "2: 127.0.1.1 " + why);
  EXPECT_EQ(errors("1 10.0.0.1 2\n2 127.0.0.1 ALIAS\n"), "2: 127.0.0.1 " + why);
}

TEST(Map, Limits) {
  EXPECT_EQ(errors("0 10.0.0.1 1\n"), "1: 0 is no node id: ids are 1..65535\n");
  EXPECT_EQ(errors("65536 10.0.0.1 1\n"), "1: 65536 is no node id: ids are 1..65535\n");
  EXPECT_EQ(errors("-1 10.0.0.1 1\n"), "1: -1 is no node id: ids are 1..65535\n");
  EXPECT_EQ(errors("1 10.0.0.1 65535\n"), "");
  EXPECT_EQ(errors("2 10.0.0.1 65535\n"), "1: 65535 nodes from id 2 on: the last id is 65535\n");
  EXPECT_EQ(errors("1 10.0.0.1 4294967295\n"), "1: 4294967295 nodes from id 1 on: the last id is 65535\n");
  EXPECT_EQ(errors("1 223.255.255.255 2\n"),
            "1: 2 nodes from 223.255.255.255 on: not all can be a machine's address\n");
  EXPECT_EQ(errors("1 0.0.0.0 1\n"), "1: 1 nodes from 0.0.0.0 on: not all can be a machine's address\n");
  EXPECT_EQ(errors("1 10.0.0.1 0\n"), "1: 0 is neither a count of nodes nor ALIAS\n");
  EXPECT_EQ(errors("1 10.0.0.256 1\n"), "1: 10.0.0.256 is neither an IPv4 address nor a host name\n");
  EXPECT_EQ(errors("1 10.0.0 1\n"), "1: 10.0.0 is neither an IPv4 address nor a host name\n");
  EXPECT_EQ(errors("1 10.0.0.1\n2 10.0.0.2 1 1\n"),
            "1: 2 words; a line is FIRST-ID ADDRESS COUNT or ID ADDRESS ALIAS\n"
            "2: 4 words; a line is FIRST-ID ADDRESS COUNT or ID ADDRESS ALIAS\n");
  EXPECT_EQ(errors("# nothing\n"), "0: defines no node\n");
  EXPECT_EQ(errors(std::string(kMaxMapBytes + 1, '#')), "0: larger than 1048576 bytes\n");
}

// The place of a machine with these addresses in a map, as text; else the error.
std::string place(const std::string& text, const std::vector<std::string>& own) {
  std::vector<u32> addresses;
  for (const std::string& each : own) addresses.push_back(*parse_ipv4(each));
  try {
    const MapPlace found = place_in_map(parse(text).map, addresses, "m");
    std::string all = fmt::format("{} {}:", found.id, ipv4_text(found.address));
    for (const u32 other : found.others) all += " " + ipv4_text(other);
    return all;
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}

TEST(Map, PlaceOfAMachine) {
  const std::string map = "1 10.0.0.1 2\n2 10.1.0.2 ALIAS\n7 10.0.0.7 1\n";
  EXPECT_EQ(place(map, {"127.0.0.1", "10.0.0.7"}), "7 10.0.0.7: 10.0.0.1 10.0.0.2");
  // The main address is preferred, in whichever order the interfaces are.
  EXPECT_EQ(place(map, {"10.1.0.2", "10.0.0.2"}), "2 10.0.0.2: 10.0.0.1 10.0.0.7");
  EXPECT_EQ(place(map, {"10.0.0.2", "10.1.0.2"}), "2 10.0.0.2: 10.0.0.1 10.0.0.7");
  EXPECT_EQ(place(map, {"10.1.0.2"}), "2 10.1.0.2: 10.0.0.1 10.0.0.7");
  EXPECT_EQ(place(map, {"127.0.0.1", "10.9.0.1"}), "this machine is not in the map m: it has 127.0.0.1, 10.9.0.1");
  EXPECT_EQ(place(map, {}), "this machine is not in the map m: it has no address");
  EXPECT_EQ(place(map, {"10.0.0.1", "10.0.0.7"}),
            "the map m has this machine twice: as node 1 (10.0.0.1) and as node 7 (10.0.0.7); make one of them an "
            "ALIAS");
}

}  // namespace
}  // namespace omig::cluster
