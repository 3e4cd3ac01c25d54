// SPDX-License-Identifier: Apache-2.0
// What an administrator tells a node holds: nothing comes, nothing goes, and in the end the node can be unplugged.
#include <gtest/gtest.h>
#include <poll.h>

#include <fstream>

#include "tests/system/membership.h"

namespace omig::test {

namespace {

std::string job_result(long number, long steps) {
  const Outcome outcome =
      run({.words = {build_path("examples/job").string(), std::to_string(number), std::to_string(steps)}});
  return outcome.out;
}

TEST(Settings, AnEmptiedNodeCanBeUnplugged) {
  constexpr long kSteps = 1'500'000'000;
  Lab lab(3);
  const std::string job = build_path("examples/job").string(), steps = std::to_string(kSteps);
  struct Job {
    int home, guest_of;
  };
  // Guests of node 2, processes of node 2 elsewhere, and one that has nothing to do with it.
  const std::vector<Job> jobs = {{1, 2}, {3, 2}, {2, 1}, {2, 3}, {1, 3}};
  std::vector<std::unique_ptr<Child>> running;
  for (const Job& each : jobs) {
    running.push_back(
        std::make_unique<Child>(Command{.words = lab.on_node(each.home, {job, std::to_string(running.size()), steps})},
                                fresh_directory("job")));
    until_it_is("job", running.back()->pid());
    ASSERT_EQ(migrate(lab, running.back()->pid(), std::to_string(each.guest_of), each.home), "");
  }
  const Outcome brought = lab.omctl(2, {"bring"});
  EXPECT_EQ(brought.out, "2 brought home\n") << brought.err;
  const Outcome expelled = lab.omctl(2, {"expel"});
  EXPECT_EQ(expelled.out, "2 sent home\n") << expelled.err;
  const auto end = Clock::now() + std::chrono::seconds(30);  // they have nobody left, and end
  while (!lab.hosts(2).empty() && Clock::now() < end) poll(nullptr, 0, 5);
  EXPECT_EQ(lab.hosts(2).size(), 0u) << lab.logs();
  const Outcome ps = lab.omctl(2, {"ps"});
  EXPECT_EQ(ps.out.find("node1"), std::string::npos) << ps.out;
  EXPECT_EQ(ps.out.find("node3"), std::string::npos) << ps.out;
  lab.kill_homed(2);
  for (size_t i = 0; i < running.size(); ++i) {
    EXPECT_TRUE(running[i]->wait_for_end(milliseconds(120'000)));
    const Outcome outcome = running[i]->outcome();
    EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << lab.logs();
    EXPECT_EQ(outcome.out, job_result(static_cast<long>(i), kSteps));
  }
}

TEST(Settings, BlockIsSaidToWhoComesAndOutlivesTheDaemon) {
  Lab lab(2);
  const auto told = [&](const std::string& what, const std::string& expected) {
    EXPECT_EQ(output_of(lab, what), expected);
  };
  constexpr const char* kTry = R"py(
child = start(BUSY)
try:
    until(lambda: child.pid in processes(), lambda: "not seen")
    moved = homed({"op": "migrate", "pid": child.pid, "to": "node2"})
    print("moved" if moved["ok"] else moved["reason"])
finally:
    child.kill()
)py";
  EXPECT_TRUE(lab.omctl(2, {"set", "block", "on"}).succeeded());
  told(kTry, "node2 takes no guests (block)\n");
  lab.kill_homed(2);
  lab.restart_homed(2);
  EXPECT_EQ(lab.omctl(2, {"set", "block"}).out, "block           on\n");
  told(kTry, "node2 takes no guests (block)\n");
  EXPECT_TRUE(lab.omctl(2, {"set", "block", "off"}).succeeded());
  told(kTry, "moved\n");
}

TEST(Settings, StayKeepsWhatWouldGo) {
  Lab lab(2, {"--balance", "--cpu", "40"});
  EXPECT_EQ(output_of(lab, R"py(
assert homed({"op": "set", "lstay": True})["settings"]["lstay"]
busy = [start(BUSY) for _ in range(4)]
try:
    def explained():
        return all("(lstay)" in homed({"op": "why", "pid": b.pid}).get("decision", "") and
                   processes()[b.pid]["demand"] > 0.7 for b in busy)
    until(explained, lambda: homed({"op": "why", "pid": busy[0].pid}))
    own = {b.pid for b in busy}  # this script itself may have been started elsewhere before it could say a word
    assert not any(p["moves"] for p in processes().values() if p["pid"] in own), processes()
    assert homed({"op": "set", "lstay": False})["ok"]
    until(lambda: sum(p["where"] == "away" for p in processes().values()) >= 2, processes)
    print("left when allowed")
finally:
    for child in busy: child.kill()
)py"),
            "left when allowed\n");
}

TEST(Settings, AQuietNodeSaysNothingOfItsLoad) {
  EXPECT_EQ(output_of(shared_lab(), R"py(
def seen(): return next(n for n in homed({"op": "nodes"}, "node2")["nodes"] if n["name"] == "node1")
assert homed({"op": "set", "quiet": True})["ok"]
child = start(BUSY)
try:
    until(lambda: processes().get(child.pid, {}).get("demand", 0) > 0.7, processes)
    until(lambda: seen()["quiet"] and not seen()["accepts"] and seen()["runnable"] == 0, seen)
    assert homed({"op": "set", "quiet": False})["ok"]
    until(lambda: not seen()["quiet"] and seen()["accepts"] and seen()["runnable"] > 0.5, seen)
    print("told again")
finally:
    child.kill()
)py"),
            "told again\n");
}

TEST(Settings, NonsenseChangesNothing) {
  EXPECT_EQ(output_of(shared_lab(), R"py(
before = homed({"op": "settings"})
for bad in ({"block": 1}, {"blok": True}, {"speed": -1}, {"speed": "fast"}, {"gateways": 3}, {"stay": True, "quiet": 0}):
    answer = homed({"op": "set", **bad})
    assert not answer["ok"] and answer["reason"], (bad, answer)
assert homed({"op": "settings"}) == before, before
print("unchanged")
)py"),
            "unchanged\n");
}

TEST(Settings, MosctlAnswersAsOpenMosixDid) {
  Lab& lab = shared_lab();
  const auto mosctl = [&](std::vector<std::string> words) {
    words.insert(words.begin(), build_path("tools/mosctl").string());
    return run({.words = lab.on_node(1, words)});
  };
  EXPECT_EQ(mosctl({"isup", "2"}).out, "yes\n");
  EXPECT_EQ(mosctl({"whois", "node2"}).out.rfind("node 2 is node2 at ", 0), 0u);
  EXPECT_EQ(WEXITSTATUS(mosctl({"isup", "77"}).status), 1);
  EXPECT_TRUE(mosctl({"setspeed", "20000"}).succeeded());
  EXPECT_EQ(mosctl({"getspeed"}).out, "20000\n");
  EXPECT_TRUE(mosctl({"setspeed", "0"}).succeeded());
  EXPECT_EQ(mosctl({"getspeed"}).out, "10000\n");  // as the lab was started
  EXPECT_TRUE(mosctl({"setdecay", "60", "900", "205"}).succeeded());
  EXPECT_EQ(mosctl({"getdecay"}).out, "60 900 205\n");
  EXPECT_TRUE(mosctl({"setdecay", "1", "975", "926"}).succeeded());
  EXPECT_EQ(WEXITSTATUS(mosctl({"gettune"}).status), 1);
  EXPECT_EQ(WEXITSTATUS(mosctl({"setdecay", "1"}).status), 2);
}

// How many, of whom, how large: who comes too late is told so, and who has become too large goes home.
TEST(Settings, GuestsHaveLimits) {
  Lab lab(3);
  EXPECT_EQ(output_of(lab, R"py(
def set(**values): return homed({"op": "set", **values}, "node2")
def moved(child, to="node2"): return homed({"op": "migrate", "pid": child.pid, "to": to})
def refused(child, why):
    answer = moved(child)
    assert not answer["ok"] and why in answer["reason"], answer
for wrong in ({"guests": -1}, {"owner_load": 5}, {"owner_load": 101}, {"guest_mb": "many"}):
    assert set(**wrong)["code"] == "invalid", wrong
GROW = "import sys\nall = []\nwhile True:\n    if sys.stdin.readline(): all.append(bytearray(b'x') * (64 << 20))"
children = [start(BUSY), start(BUSY), subprocess.Popen([sys.executable, "-c", GROW], stdin=subprocess.PIPE)]
try:
    until(lambda: all(c.pid in processes() for c in children), processes)
    one, two, grows = children
    set(guests=1)
    assert moved(one)["ok"]
    until(lambda: homed({"op": "ps"}, "node2")["guests"], lambda: "not listed")
    refused(two, "node2 takes 1 guest at most (omctl set guests)")
    set(guests=0, guests_per_home=1)
    refused(two, "node2 takes 1 guest of node1 at most (omctl set guests_per_home)")
    set(guests_per_home=0, guests_per_user=1)
    refused(two, f"node2 takes 1 guest of user {os.getuid()} of node1 at most")
    set(guests_per_user=0, guest_mb=50)
    assert moved(grows)["ok"]
    grows.stdin.write(b"\n")
    grows.stdin.flush()
    until(lambda: processes()[grows.pid]["where"] == "home", lambda: homed({"op": "ps"}, "node2"))
    refused(grows, "node2 takes no guest with more than 50 MiB")
    assert processes()[one.pid]["node"] == "node2"
    print("limited")
finally:
    for child in children: child.kill()
)py"),
            "limited\n");
  const std::string log = lab.omctl(2, {"log"}).out;
  EXPECT_NE(log.find("MiB, 50 are allowed here (guest_mb)"), std::string::npos) << log;
}

// The owner's work is not omig's, and comes first: its guests go home, and may come again when it is over.
TEST(Settings, TheOwnersWorkComesFirst) {
  Lab lab(2, {"--cpu", "40"});
  if (!lab.has_namespaces()) GTEST_SKIP() << "needs nodes with shares of the CPU: no namespaces here (not root)";
  EXPECT_TRUE(lab.omctl(2, {"set", "owner_load", "30"}).succeeded());
  Away guest(lab, 1, 2);
  const auto where = [&] { return lab.omctl(1, {"where", guest.pid()}).out; };
  const auto until = [&](const auto& true_at_last) {
    const auto end = Clock::now() + std::chrono::seconds(60);
    while (!true_at_last() && Clock::now() < end) poll(nullptr, 0, 50);
    return true_at_last();
  };
  {
    const Child owner({.words = lab.on_node(2, {"env", "-u", "LD_PRELOAD", "python3", "-c", "while True: pass"})},
                      fresh_directory("owner"));
    EXPECT_TRUE(until([&] { return where() == "node1\n"; })) << lab.logs();
    const Outcome refused = lab.omctl(1, {"migrate", guest.pid(), "node2"});
    EXPECT_TRUE(contains(refused.err, "node2 is needed by who works there")) << refused.err;
  }
  EXPECT_TRUE(until([&] { return lab.omctl(1, {"migrate", guest.pid(), "node2"}).succeeded(); })) << lab.logs();
  EXPECT_EQ(where(), "node2\n");
  guest.ends_well();
}

}  // namespace

}  // namespace omig::test
