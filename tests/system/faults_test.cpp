// SPDX-License-Identifier: Apache-2.0
// Sudden deaths: of homed, of the hosts at every named point of a move (FAULTS.md), of the guest, of the deputy.
//
// Before the commit a move that breaks leaves the program running where it was, and it can move afterwards. After the
// commit the death of the visited side ends the program with a message and status 137.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/system/compare.h"
#include "tests/system/mover.h"

namespace omig::test {

namespace {

class Faults : public testing::Test {
 protected:
  Lab lab{3};

  // Where the program is, according to node 1's homed.
  std::string where(pid_t pid) {
    std::string text = lab.omctl(1, {"where", std::to_string(pid)}).out;
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }

  // Runs the worker, does `act` to it, and expects that it ends as natively all the same.
  void expect_survives(std::function<std::string(pid_t)> act) {
    const std::string wrong = unlike_native(worker(), worker(), lab, std::move(act));
    EXPECT_TRUE(wrong.empty()) << wrong;
  }

  // The same, but it must end by SIGKILL (137 to a shell), and say why unless somebody at home killed it.
  void expect_lost(std::function<std::string(pid_t)> act, const std::string& node) {
    MovePlan plan;
    plan.seed = run_seed();
    plan.limit = milliseconds(20'000);
    plan.instead = std::move(act);
    MovedRun got = run_program(worker(), Flavour::moved, &lab, plan);
    EXPECT_EQ(got.trouble, "") << circumstances(got, &lab);
    EXPECT_FALSE(got.outcome.timed_out) << circumstances(got, &lab);
    EXPECT_TRUE(WIFSIGNALED(got.outcome.status) && WTERMSIG(got.outcome.status) == SIGKILL) << got.outcome.describe();
    if (node.empty()) return;
    EXPECT_NE(got.outcome.err.find(node), std::string::npos) << got.outcome.err;
    EXPECT_NE(got.outcome.err.find("137"), std::string::npos) << got.outcome.err;
    EXPECT_EQ(std::count(got.outcome.err.begin(), got.outcome.err.end(), '\n'), 1) << got.outcome.err;
  }

  std::string migrate_now(pid_t pid, const std::string& target) {
    std::string answer = migrate(lab, pid, target);
    return answer.empty() ? "" : fmt::format("to {}: {}", target, answer);
  }

  // Nobody serves anything on the node any more: mostly at once, but see left_behind() in moves.cpp.
  bool no_hosts_left(int node) {
    auto end = Clock::now() + std::chrono::seconds(20);
    while (!lab.hosts(node).empty() && Clock::now() < end) poll(nullptr, 0, 10);
    return lab.hosts(node).empty();
  }
};

struct FaultPoint {
  const char* name;
  int node;          // whose hosts die there
  const char* from;  // where the program is before the move: "home" or a node
  const char* to;
  bool lost;  // the guest's side was the one that died: the program ends
};

void PrintTo(const FaultPoint& point, std::ostream* out) { *out << point.name; }

class FaultPoints : public Faults, public testing::WithParamInterface<FaultPoint> {};

TEST_P(FaultPoints, EndsAsPromised) {
  const FaultPoint& point = GetParam();
  auto break_the_move = [&](pid_t pid) -> std::string {
    auto arm = [&](const char* fault) {
      lab.kill_homed(point.node);
      lab.restart_homed(point.node, fault);
      // A restarted homed finds the program again by itself.
      auto end = Clock::now() + std::chrono::seconds(10);
      while (where(pid).empty() && Clock::now() < end) poll(nullptr, 0, 10);
    };
    // A host has the environment of the homed that started it: one that is to die on its guest's way out is started
    // by an armed homed, the others are started for the very move that is to break.
    bool armed = point.lost && std::string(point.from) != "home";
    if (armed) arm(point.name);
    if (std::string(point.from) != "home")
      if (std::string trouble = migrate_now(pid, point.from); !trouble.empty()) return trouble;
    if (!armed) arm(point.name);
    std::string answer = migrate(lab, pid, point.to);
    if (point.lost) return "";  // what omctl says about a program that is lost at that moment is not promised
    if (answer.empty()) return fmt::format("the move to {} worked although a host died at {}", point.to, point.name);
    std::string before = std::string(point.from) == "home" ? "node1" : point.from;
    // Once the threads are diverted the mover has nothing left to do: the move may complete without it.
    const std::string now = where(pid);
    const bool completed = std::string(point.name) == "after-divert" && now == point.to;
    if (now != before && !completed) return fmt::format("it was on {} and is on {} after: {}", before, now, answer);
    arm("");
    std::string trouble = migrate_now(pid, point.to);
    if (!trouble.empty()) return "after the fault: " + trouble;
    return "";
  };
  if (point.lost)
    expect_lost(break_the_move, std::string(point.from) == "home" ? point.to : point.from);
  else
    expect_survives(break_the_move);
}

INSTANTIATE_TEST_SUITE_P(All, FaultPoints,
                         testing::Values(FaultPoint{"before-freeze", 1, "home", "node2", false},
                                         FaultPoint{"frozen", 1, "home", "node2", false},
                                         FaultPoint{"image-sent", 1, "home", "node2", false},
                                         FaultPoint{"pages-sent", 1, "home", "node2", false},
                                         FaultPoint{"before-divert", 1, "home", "node2", false},
                                         FaultPoint{"after-divert", 1, "home", "node2", false},
                                         FaultPoint{"arrive-placed", 2, "home", "node2", false},
                                         FaultPoint{"arrive-restored", 2, "home", "node2", false},
                                         FaultPoint{"arrive-before-commit", 2, "home", "node2", false},
                                         FaultPoint{"arrive-placed", 3, "node2", "node3", false},
                                         FaultPoint{"arrive-restored", 3, "node2", "node3", false},
                                         FaultPoint{"arrive-before-commit", 3, "node2", "node3", false},
                                         FaultPoint{"arrive-committed", 2, "home", "node2", true},
                                         FaultPoint{"home-captured", 2, "node2", "home", true},
                                         FaultPoint{"home-prepared", 2, "node2", "home", true},
                                         FaultPoint{"relay-captured", 2, "node2", "node3", true}),
                         [](const auto& info) {
                           std::string name = fmt::format("{}_{}_{}", info.param.name, info.param.from, info.param.to);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_F(Faults, HomedAtHomeDiesWhileAway) {
  expect_survives([&](pid_t pid) -> std::string {
    if (std::string trouble = migrate_now(pid, "node2"); !trouble.empty()) return trouble;
    lab.kill_homed(1);
    if (!is_alive(pid)) return "it died with homed";
    lab.restart_homed(1);
    auto end = Clock::now() + std::chrono::seconds(10);
    while (where(pid) != "node2" && Clock::now() < end) poll(nullptr, 0, 10);
    if (where(pid) != "node2") return "the restarted homed thinks it is on \"" + where(pid) + "\"";
    return migrate_now(pid, "home");
  });
}

TEST_F(Faults, HomedOfTheVisitedNodeDies) {
  expect_survives([&](pid_t pid) -> std::string {
    if (std::string trouble = migrate_now(pid, "node2"); !trouble.empty()) return trouble;
    lab.kill_homed(2);
    if (std::string trouble = migrate_now(pid, "home"); !trouble.empty()) return "without node2's homed, " + trouble;
    lab.restart_homed(2);
    return migrate_now(pid, "node2");
  });
}

TEST_F(Faults, EveryHomedDies) {
  expect_survives([&](pid_t pid) -> std::string {
    if (std::string trouble = migrate_now(pid, "node3"); !trouble.empty()) return trouble;
    for (int node : {1, 2, 3}) lab.kill_homed(node);
    return is_alive(pid) ? "" : "it died with the homeds";
  });
}

TEST_F(Faults, HostDiesAfterCommit) {
  expect_lost(
      [&](pid_t pid) -> std::string {
        if (std::string trouble = migrate_now(pid, "node2"); !trouble.empty()) return trouble;
        if (lab.hosts(2).empty()) return "node2 has no host";
        for (pid_t host : lab.hosts(2)) kill(host, SIGKILL);
        return "";
      },
      "node2");
  EXPECT_TRUE(no_hosts_left(2));
}

TEST_F(Faults, DeputyIsKilled) {
  expect_lost(
      [&](pid_t pid) -> std::string {
        if (std::string trouble = migrate_now(pid, "node2"); !trouble.empty()) return trouble;
        kill(pid, SIGKILL);
        return "";
      },
      "");
  EXPECT_TRUE(no_hosts_left(2)) << "the guest outlived its deputy";
}

TEST_F(Faults, MoverIsKilledWheneverItIs) {
  // Killed from outside after a random while, again and again: whatever it was doing, the program goes on.
  std::mt19937_64 random(run_seed());
  expect_survives([&](pid_t pid) -> std::string {
    for (int i = 0; i < 15; i++) {
      std::string target = i % 3 == 2 ? "home" : i % 3 == 1 ? "node3" : "node2";
      const auto mover = start_migrate(lab, pid, target);
      if (!mover->wait_for_end(milliseconds(random() % 25)) && target != "home") {
        for (const auto& entry : fs::directory_iterator("/proc")) {
          std::string command = read_file(entry.path() / "cmdline");
          if (command.find("omig-host") == std::string::npos || command.find("depart") == std::string::npos) continue;
          if (command.find(lab.state_dir(1).string()) == std::string::npos) continue;
          kill(std::stoi(entry.path().filename()), SIGKILL);
        }
      }
      if (!mover->wait_for_end(milliseconds(30'000))) return fmt::format("migrate to {} never ended", target);
      if (!is_alive(pid)) return fmt::format("it ended in round {}", i);
    }
    return migrate_now(pid, "home");
  });
}

}  // namespace

}  // namespace omig::test
