// SPDX-License-Identifier: Apache-2.0
// Two nodes with two networks between them: with `omctl set mptcp on` one of these may fail, whichever, and a program
// that is away goes on calling home.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "lib/base/types.h"
#include "tests/system/membership.h"
#include "tests/system/network.h"

namespace omig::test {

namespace {

// Counts in a file at home, by two calls each time.
constexpr const char* kCounts = R"py(
import os, sys
fd = os.open(sys.argv[1] + "/count", os.O_RDWR | os.O_CREAT)
n = 0
while not os.path.exists(sys.argv[1] + "/end"):
    n += 1
    os.pwrite(fd, b"%d\n" % n, 0)
print("well")
)py";

class Multipath : public testing::Test {
 protected:
  void SetUp() override {
    if (!lab.has_namespaces()) GTEST_SKIP() << "needs nodes with networks of their own: no namespaces here (not root)";
    if (const Outcome set = lab.omctl(1, {"set", "mptcp", "on"}); !set.succeeded()) GTEST_SKIP() << set.err;
    if (const std::string wrong = second_network(); !wrong.empty()) GTEST_SKIP() << "no second network: " << wrong;
    directory = fresh_directory("multipath");
    program =
        std::make_unique<Child>(Command{.words = lab.on_node(1, {"python3", "-c", kCounts, directory})}, directory);
    ASSERT_TRUE(wait_until([&] { return count() > 0; }));
    ASSERT_EQ(migrate(lab, program->pid(), "node2"), "");
    // The second path is made after the first.
    ASSERT_TRUE(wait_until([&] { return subflows() >= 4; })) << "a thread's link and the ear's, by two paths each";
  }

  // "" or what could not be done.
  std::string second_network() {
    const auto by_root = [&](std::vector<std::string> words) {
      const Outcome done = run({.words = std::move(words)});
      return done.succeeded() ? "" : done.err;
    };
    const auto on = [&](int node, std::vector<std::string> words) {
      words.insert(words.begin(), {"env", "-u", "LD_PRELOAD", "ip"});
      return by_root(lab.on_node(node, words));
    };
    std::string wrong = by_root({"ip", "link", "add", "eth1", "netns", std::to_string(lab.homed(1)), "type", "veth",
                                 "peer", "name", "eth1", "netns", std::to_string(lab.homed(2))});
    for (const int node : {1, 2}) {
      const std::string address = fmt::format("10.78.0.{}", node);
      wrong += on(node, {"address", "add", address + "/24", "dev", "eth1"});
      wrong += on(node, {"link", "set", "eth1", "up"});
      wrong += on(node, {"mptcp", "limits", "set", "subflow", "4", "add_addr_accepted", "4"});
      wrong += on(node, {"mptcp", "endpoint", "add", address, "dev", "eth1", node == 2 ? "signal" : "subflow"});
    }
    return wrong;
  }
  // TCP connections of node 1 that belong to links.
  long subflows() {
    const std::string text =
        run({.words = lab.on_node(1, {"env", "-u", "LD_PRELOAD", "ss", "-Htni", "state", "established"})}).out;
    return static_cast<long>(times_in(text, "tcp-ulp-mptcp"));
  }
  u64 count() {
    const std::string text = read_file(directory / "count");
    return text.empty() ? 0 : std::stoull(text);
  }
  bool goes_on() {
    const u64 before = count();
    return wait_until([&] { return count() > before + 500; }, milliseconds(60'000));
  }

  Lab lab{2};
  Network network{lab};
  fs::path directory;
  std::unique_ptr<Child> program;
};

TEST_F(Multipath, EitherNetworkMayFail) {
  for (const char* interface : {"eth0", "eth1", "eth0"}) {
    network.unplug(1, interface);
    EXPECT_TRUE(goes_on()) << "without " << interface;
    network.plug();
    EXPECT_TRUE(goes_on()) << "with both again";
    // The one that was gone carries the links again before the other is taken away.
    EXPECT_TRUE(wait_until([&] { return subflows() >= 4; }, milliseconds(60'000))) << interface;
  }
  std::ifstream log(lab.state_dir(2) / "host.log");
  const std::string text{std::istreambuf_iterator<char>(log), {}};
  EXPECT_EQ(text.find("made a broken link again"), std::string::npos) << "the links were not to break:\n" << text;
  EXPECT_EQ(migrate(lab, program->pid(), "home"), "");
  std::ofstream(directory / "end").close();
  EXPECT_TRUE(program->wait_for_end(milliseconds(60'000)));
  EXPECT_EQ(program->outcome().out, "well\n") << program->outcome().describe() << program->outcome().err;
}

// Both are gone for a while: then the links are made again as others are.
TEST_F(Multipath, BothMayFailForAWhile) {
  Network other(lab);
  network.unplug(1, "eth0");
  other.unplug(1, "eth1");
  const u64 before = count();
  EXPECT_FALSE(wait_until([&] { return count() > before + 500; }, milliseconds(3'000)));
  other.plug();
  network.plug();
  EXPECT_TRUE(goes_on());
  std::ofstream(directory / "end").close();
  EXPECT_TRUE(program->wait_for_end(milliseconds(60'000)));
  EXPECT_EQ(program->outcome().out, "well\n") << program->outcome().describe() << program->outcome().err;
}

// Its end is seen at once, not taken for a connection that broke.
TEST_F(Multipath, TheGuestEndsWithItsDeputy) {
  kill(program->pid(), SIGKILL);
  EXPECT_TRUE(program->wait_for_end(milliseconds(30'000)));
  EXPECT_TRUE(wait_until([&] { return lab.hosts(2).empty(); })) << "the patience of its links is 60 s";
}

}  // namespace

}  // namespace omig::test
