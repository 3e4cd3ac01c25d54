// SPDX-License-Identifier: Apache-2.0
// Nodes that know nothing but the key find each other, while a program is away, and garbage on the air harms nobody.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/system/membership.h"

namespace omig::test {

namespace {

// What a stranger on the same network can send: noise, and what was heard before. Prints how many it has heard.
constexpr const char* kStranger = R"py(
import os, socket, struct, sys
group, port = "239.255.79.77", 7947
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((group, port))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4sii", socket.inet_aton(group), 0, socket.if_nametoindex("eth0")))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4sii", b"\0" * 4, 0, socket.if_nametoindex("eth0")))
s.settimeout(60)
heard, source = s.recvfrom(2000)
for text in (b"", b"OMDI", os.urandom(60), heard, heard[:-1], heard + b"x", heard[:-1] + bytes([heard[-1] ^ 1]), os.urandom(1400)) * 40:
    s.sendto(text, (group, port))
print(len(heard))
)py";

TEST(Discovery, NodesThatKnowTheKeyFindEachOther) {
  Lab lab(3);
  if (!lab.has_namespaces())
    GTEST_SKIP() << "needs nodes with a network of their own: the lab has no namespaces here (not root)";
  std::vector<std::string> at = {""};
  for (int node = 1; node <= 3; ++node) at.push_back(address_of(lab, node));
  std::vector<std::unique_ptr<Child>> daemons;
  const auto start = [&](int node, std::vector<std::string> words) {
    std::vector<std::string> all = {"env", "-u", "LD_PRELOAD", "OMIG_DIR=" + lab.state_dir(node).string()};
    all.insert(all.end(), words.begin(), words.end());
    daemons.push_back(std::make_unique<Child>(Command{.words = lab.on_node(node, all)}, fresh_directory("daemon")));
    return daemons.back().get();
  };
  for (int node = 1; node <= 3; ++node) lab.kill_homed(node);
  for (int node = 1; node <= 3; ++node) {
    start(node, {build_path("homed/homed"), "--foreground", "--state-dir", lab.state_dir(node), "--name",
                 fmt::format("node{}", node), "--id", std::to_string(node), "--listen", at[static_cast<size_t>(node)],
                 "--speed", "1", "--no-balance"});
    until_seen(lab, node, {{node, fmt::format("node{}", node)}});
  }
  const std::string omdiscd = build_path("tools/omdiscd");
  std::vector<Child*> finders;
  for (int node = 1; node <= 2; ++node) finders.push_back(start(node, {omdiscd, "-n", "-i", "eth0"}));
  until_seen(lab, 1, {{1, "node1"}, {2, "node2"}});
  Away job(lab, 1, 2);
  // A third node comes while the program is away.
  finders.push_back(start(3, {omdiscd, "-n", "-i", "eth0"}));
  const Nodes all = {{1, "node1"}, {2, "node2"}, {3, "node3"}};
  for (int node = 1; node <= 3; ++node) until_seen(lab, node, all);
  const Outcome stranger =
      run({.words = lab.on_node(3, {"env", "-u", "LD_PRELOAD", "python3", "-c", kStranger})}, milliseconds(90'000));
  EXPECT_TRUE(stranger.succeeded()) << stranger.err;
  EXPECT_EQ(seen(lab, 1), all);
  EXPECT_EQ(lab.omctl(1, {"where", job.pid()}).out, "node2\n");
  // The two ways are not mixed.
  const Outcome mixed = load(lab, 1, fmt::format("1 {} 1\n2 {} 1\n", at[1], at[2]));
  EXPECT_TRUE(contains(mixed.err, "node1 found its cluster by discovery, which is not mixed with a map")) << mixed.err;
  EXPECT_TRUE(lab.omctl(3, {"leave"}).succeeded());
  EXPECT_TRUE(finders.back()->wait_for_end(milliseconds(60'000)));  // else it would bring the node back
  EXPECT_EQ(finders.back()->outcome().err.substr(finders.back()->outcome().err.rfind("omdiscd: ")),
            "omdiscd: node3 has left its cluster\n");
  EXPECT_TRUE(load(lab, 3, fmt::format("3 {} 1\n", at[3])).succeeded());
  Child* mixer = start(3, {omdiscd, "-n"});
  ASSERT_TRUE(mixer->wait_for_end(milliseconds(30'000)));
  const Outcome refused = mixer->outcome();
  EXPECT_EQ(refused.err, "omdiscd: node3 goes by a map, which is not mixed with discovery: omctl map off first\n");
  job.ends_well();
  // Garbage is said once, not 280 times.
  for (size_t i = 0; i < 2; ++i) {
    kill(finders[i]->pid(), SIGTERM);
    ASSERT_TRUE(finders[i]->wait_for_end(milliseconds(30'000)));
    const Outcome outcome = finders[i]->outcome();
    EXPECT_TRUE(outcome.succeeded()) << outcome.describe();
    const size_t told = times_in(outcome.err, " from ");
    EXPECT_GE(told, 1u) << outcome.err;
    EXPECT_LE(told, 8u) << outcome.err;  // a minute each
  }
}

TEST(Discovery, RefusesAnIdentityThatOthersCanRead) {
  const fs::path place = fresh_directory("state");
  std::ofstream(place / "identity.pem") << "whatever it says";
  fs::permissions(place / "identity.pem", fs::perms(0644));
  const Outcome refused =
      run({.words = {build_path("tools/omdiscd"), "-n"}, .environment = {{"OMIG_DIR", place.string()}}});
  EXPECT_EQ(refused.err, fmt::format("omdiscd: {}/identity.pem may be read by others: chmod 600 it\n", place.string()));
  EXPECT_EQ(WEXITSTATUS(refused.status), 1);
}

}  // namespace

}  // namespace omig::test
