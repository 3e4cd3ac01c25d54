// SPDX-License-Identifier: Apache-2.0
// Who belongs to a cluster: nodes come in by token and are thrown out, while programs are away; and who only listens on
// the network between two nodes sees nothing of what travels.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "lib/base/types.h"
#include "tests/system/membership.h"

namespace omig::test {

namespace {

constexpr const char* kNamespaces =
    "needs nodes with a network of their own: the lab has no namespaces here (not root)";

nlohmann::json asked(Lab& lab, int node, std::vector<std::string> words) {
  words.push_back("--json");
  return nlohmann::json::parse(lab.omctl(node, words).out, nullptr, false);
}

// Waits until a process is there, as its home says.
std::string where_at_last(Lab& lab, int home, const std::string& pid, const std::string& node) {
  std::string at;
  const auto end = Clock::now() + std::chrono::seconds(60);
  while ((at = lab.omctl(home, {"where", pid}).out) != node + "\n" && Clock::now() < end) poll(nullptr, 0, 20);
  return at;
}

// A node whose homed was started alone, with an identity of its own: as on a machine where omig was just installed.
class Stranger {
 public:
  Stranger(Lab& lab, int node) {
    const std::string address = address_of(lab, node);
    lab.kill_homed(node);
    for (const char* file : {"identity.pem", "authority.pem", "membership.json"})
      fs::remove(lab.state_dir(node) / file);
    daemon_ = std::make_unique<Child>(
        Command{.words = lab.on_node(
                    node, {"env", "-u", "LD_PRELOAD", build_path("homed/homed"), "--foreground", "--state-dir",
                           lab.state_dir(node), "--name", fmt::format("node{}", node), "--id", std::to_string(node),
                           "--listen", address, "--speed", "1", "--no-balance"})},
        fresh_directory("stranger"));
    until_seen(lab, node, {{node, fmt::format("node{}", node)}});
  }

 private:
  std::unique_ptr<Child> daemon_;
};

// Counts the packets on eth0 and how often the text is among them, until told to end.
constexpr const char* kListener = R"py(
import os, socket, sys
directory, text = sys.argv[1], sys.argv[2].encode()
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 0))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
s.settimeout(0.2)
open(directory + "/listening", "w").close()
count = heard = 0
while not os.path.exists(directory + "/over"):
    try: packet = s.recv(1 << 17)
    except TimeoutError: continue
    count += len(packet)
    heard += packet.count(text)
print(count, heard)
)py";

// Has the text in its memory, reads it from a file and writes it to another one, again and again.
constexpr const char* kKeeper = R"py(
import os, sys
directory, text = sys.argv[1], sys.argv[2] * 100000
open(directory + "/begun", "w").close()
while not os.path.exists(directory + "/end"):
    same = open(directory + "/secret").read() == text[:len(sys.argv[2]) * 1000]
    open(directory + "/copy", "w").write(text[:65536])
print("well" if same else "changed")
)py";

TEST(Cluster, WhoListensOnTheNetworkHearsNothing) {
  Lab lab(3);
  if (!lab.has_namespaces()) GTEST_SKIP() << kNamespaces;
  // Put together here, so that no command line has it.
  const std::string half = "tell-", secret = half + "nobody-";
  const fs::path directory = fresh_directory("listened");
  std::ofstream file(directory / "secret");
  for (int i = 0; i < 1000; ++i) file << secret;
  file.close();
  Child listener({.words = lab.on_node(2, {"env", "-u", "LD_PRELOAD", "python3", "-c", kListener, directory, secret})},
                 fresh_directory("listener"));
  ASSERT_NO_FATAL_FAILURE(until_there(directory / "listening"));
  Child keeper({.words = lab.on_node(1, {"python3", "-c", kKeeper, directory, secret})}, directory);
  ASSERT_NO_FATAL_FAILURE(until_there(directory / "begun"));
  for (const char* to : {"node2", "home", "node2", "node3", "node2", "home", "node2"}) {
    EXPECT_EQ(migrate(lab, keeper.pid(), to), "") << to;
    fs::remove(directory / "copy");
    ASSERT_NO_FATAL_FAILURE(until_there(directory / "copy"));  // so it has done that there
  }
  std::ofstream(directory / "end") << "now";
  ASSERT_TRUE(keeper.wait_for_end(milliseconds(60'000)));
  EXPECT_EQ(keeper.outcome().out, "well\n") << keeper.outcome().err;
  std::ofstream(directory / "over") << "now";
  ASSERT_TRUE(listener.wait_for_end(milliseconds(60'000)));
  u64 bytes = 0, heard = 0;
  std::istringstream(listener.outcome().out) >> bytes >> heard;
  EXPECT_GT(bytes, 4u << 20) << "it did not hear the moves" << listener.outcome().err;
  EXPECT_EQ(heard, 0u);
}

// The same listener hears what is not sealed: else the test before would say nothing.
TEST(Cluster, TheListenerHearsWhatIsInClear) {
  Lab lab(2);
  if (!lab.has_namespaces()) GTEST_SKIP() << kNamespaces;
  const fs::path directory = fresh_directory("listened");
  const std::string at = address_of(lab, 2);
  Child listener(
      {.words = lab.on_node(2, {"env", "-u", "LD_PRELOAD", "python3", "-c", kListener, directory, "tell-all"})},
      fresh_directory("listener"));
  ASSERT_NO_FATAL_FAILURE(until_there(directory / "listening"));
  const std::string says = fmt::format(
      "import socket; s = socket.create_connection(('{}', 7946)); s.send(b'tell-' + b'all'); s.recv(1)", at);
  run({.words = lab.on_node(1, {"env", "-u", "LD_PRELOAD", "python3", "-c", says})});
  std::ofstream(directory / "over") << "now";
  ASSERT_TRUE(listener.wait_for_end(milliseconds(60'000)));
  u64 bytes = 0, heard = 0;
  std::istringstream(listener.outcome().out) >> bytes >> heard;
  EXPECT_EQ(heard, 1u) << listener.outcome().err;
}

TEST(Cluster, ATokenBringsANodeInOnce) {
  Lab lab(3);
  if (!lab.has_namespaces()) GTEST_SKIP() << kNamespaces;
  const std::string founder = address_of(lab, 1);
  const Stranger third(lab, 3);
  const Outcome uninvited = lab.omctl(3, {"join", founder});
  EXPECT_FALSE(uninvited.succeeded());
  EXPECT_TRUE(contains(uninvited.err, "omctl cluster invite")) << uninvited.err;
  EXPECT_TRUE(contains(lab.omctl(2, {"cluster", "invite"}).err, "only node1 can")) << "node2 is not the founder";
  const std::string token = asked(lab, 1, {"cluster", "invite"}).value("token", "");
  // Who would answer in the founder's place is not believed: this token is for another cluster.
  std::string forged = token;
  forged[forged.size() - 40] = forged[forged.size() - 40] == '0' ? '1' : '0';
  const Outcome elsewhere = lab.omctl(3, {"join", forged});
  EXPECT_TRUE(contains(elsewhere.err, "not of the cluster that the token is for")) << elsewhere.err;
  const Outcome joined = lab.omctl(3, {"join", token});
  EXPECT_TRUE(joined.succeeded()) << joined.err;
  const Nodes all = {{1, "node1"}, {2, "node2"}, {3, "node3"}};
  for (int node = 1; node <= 3; ++node) until_seen(lab, node, all);
  EXPECT_EQ(asked(lab, 3, {"cluster", "status"}).value("founder", ""), "node1");
  EXPECT_FALSE(asked(lab, 3, {"cluster", "status"}).value("authority", true));
  Away job(lab, 1, 3);
  EXPECT_EQ(lab.omctl(1, {"where", job.pid()}).out, "node3\n");
  // Not twice, and not while others rely on who it is.
  const Stranger second(lab, 2);
  const Outcome again = lab.omctl(2, {"join", token});
  EXPECT_FALSE(again.succeeded());
  EXPECT_TRUE(contains(again.err, "does not know this token")) << again.err;
  const std::string foreign = asked(lab, 2, {"cluster", "invite"}).value("token", "");
  const Outcome leaves = lab.omctl(1, {"join", foreign});
  EXPECT_TRUE(contains(leaves.err, fmt::format("process {} is on node3", job.pid()))) << leaves.err;
  EXPECT_EQ(lab.omctl(1, {"where", job.pid()}).out, "node3\n");
  job.ends_well();
}

TEST(Cluster, ARevokedNodeIsOutAtOnce) {
  Lab lab(3);
  if (!lab.has_namespaces()) GTEST_SKIP() << kNamespaces;
  const std::string identity = asked(lab, 3, {"cluster", "status"}).value("identity", "");
  Away there(lab, 1, 3), from_there(lab, 3, 2);
  const Outcome refused = lab.omctl(2, {"cluster", "revoke", "node3"});
  EXPECT_TRUE(contains(refused.err, "only node1 can")) << refused.err;
  const Outcome revoked = lab.omctl(1, {"cluster", "revoke", "node3"});
  EXPECT_TRUE(revoked.succeeded()) << revoked.err;
  EXPECT_EQ(where_at_last(lab, 1, there.pid(), "node1"), "node1\n");
  EXPECT_EQ(where_at_last(lab, 3, from_there.pid(), "node3"), "node3\n");
  const Nodes left = {{1, "node1"}, {2, "node2"}};
  for (int node = 1; node <= 2; ++node) until_seen(lab, node, left);
  const auto knows = [&] { return asked(lab, 2, {"cluster", "status"}).at("revoked"); };
  EXPECT_EQ(knows(), nlohmann::json::array({identity}));
  EXPECT_FALSE(lab.omctl(1, {"migrate", there.pid(), "node3"}).succeeded());
  EXPECT_FALSE(lab.omctl(3, {"migrate", from_there.pid(), "node2"}).succeeded());
  EXPECT_FALSE(lab.omctl(3, {"join", address_of(lab, 2)}).succeeded());
  EXPECT_TRUE(fs::exists(lab.state_dir(2) / "revoked.json")) << "what is revoked must outlive homed";
  EXPECT_EQ(seen(lab, 2), left);
  from_there.ends_well();
  // It is let in again by a new token only, as somebody else.
  const auto rejoin = [&] { return lab.omctl(3, {"join", asked(lab, 1, {"cluster", "invite"}).value("token", "")}); };
  Outcome again = rejoin();  // it takes a second until it notices that nobody speaks to it any more
  const auto end = Clock::now() + std::chrono::seconds(30);
  while (!again.succeeded() && Clock::now() < end) again = rejoin();
  EXPECT_TRUE(again.succeeded()) << again.err;
  const Nodes all = {{1, "node1"}, {2, "node2"}, {3, "node3"}};
  for (int node = 1; node <= 3; ++node) until_seen(lab, node, all);
  EXPECT_NE(asked(lab, 3, {"cluster", "status"}).value("identity", ""), identity);
  there.goes_to("node3");
  EXPECT_EQ(lab.omctl(1, {"where", there.pid()}).out, "node3\n");
  there.ends_well();
}

// A node that keeps what it has: its host is stopped, so it answers nobody.
TEST(Cluster, WhatARevokedNodeDoesNotGiveBackIsEnded) {
  Lab lab(3);
  if (!lab.has_namespaces()) GTEST_SKIP() << kNamespaces;
  const fs::path directory = fresh_directory("kept");
  const std::string body = "import sys\nopen(sys.argv[1] + '/begun', 'w').close()\nwhile True: pass";
  Child kept({.words = lab.on_node(1, {"python3", "-c", body, directory})}, directory);
  ASSERT_NO_FATAL_FAILURE(until_there(directory / "begun"));
  ASSERT_EQ(migrate(lab, kept.pid(), "node3"), "");
  wait_until([&] { return lab.hosts(3).size() <= 1; });  // of an attempt that was begun anew
  const std::vector<pid_t> hosts = lab.hosts(3);
  ASSERT_EQ(hosts.size(), 1u);
  ASSERT_EQ(kill(hosts.front(), SIGSTOP), 0);
  EXPECT_TRUE(lab.omctl(1, {"cluster", "revoke", "node3"}).succeeded());
  EXPECT_TRUE(kept.wait_for_end(milliseconds(90'000))) << lab.logs();
  EXPECT_TRUE(WIFSIGNALED(kept.outcome().status)) << kept.outcome().describe();
  // homed says so after it is done.
  EXPECT_TRUE(wait_until([&] { return contains(lab.logs(), "is ended: node3 was revoked"); })) << lab.logs();
  kill(hosts.front(), SIGCONT);
}

}  // namespace

}  // namespace omig::test
