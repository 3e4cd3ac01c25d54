// SPDX-License-Identifier: Apache-2.0
// What a network and a daemon may do to a program that is away or on its way: FAULTS.md's matrix. Each cell stops the
// host that carries out a move at a point of it (or lets the guest run), does something to the world, and lets the host
// go on. The program must end as it does natively, and must be able to move afterwards.
#include "tests/system/network.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>

#include "tests/system/compare.h"
#include "tests/system/mover.h"
#include "tests/system/other_homed.h"
#include "tests/system/wait.h"

namespace omig::test {

namespace {

constexpr const char* kNamespaces = "this machine gives the lab no network namespaces";

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!lab.has_namespaces()) GTEST_SKIP() << kNamespaces;
  }
  std::string where(pid_t pid) { return lab.omctl(1, {"where", std::to_string(pid)}).out; }

  MovedRun run_moved(std::function<std::string(pid_t)> act, milliseconds limit = milliseconds(60'000)) {
    MovePlan plan;
    plan.seed = run_seed();
    plan.limit = limit;
    plan.instead = std::move(act);
    return run_program(worker(), Flavour::moved, &lab, plan);
  }
  void expect_survives(std::function<std::string(pid_t)> act, milliseconds limit = milliseconds(60'000)) {
    const std::string wrong = unlike_native(worker(), worker(), lab, std::move(act), limit);
    EXPECT_TRUE(wrong.empty()) << wrong;
  }

  // Of what `node` knows of another.
  milliseconds news_age(int node, int of) {
    const auto json = nlohmann::json::parse(lab.omctl(node, {"nodes", "--json"}).out, nullptr, false);
    for (const auto& each : json.value("nodes", nlohmann::json::array()))
      if (each.value("id", 0) == of) return milliseconds(each.value("age_ms", 0));
    return milliseconds::max();
  }

  // The nodes see each other again, and it can go home.
  std::string comes_home(pid_t pid) {
    wait_until([&] { return lab.health().empty(); });
    const std::string trouble = migrate(lab, pid, "home");
    return trouble.empty() ? "" : "home: " + trouble;
  }

  Lab lab{3};
  Network network{lab};
};

// ---- the guest runs

TEST_F(NetworkTest, ConnectionsAreResetAllTheTime) {
  std::mt19937_64 random(run_seed());
  expect_survives([&](pid_t pid) -> std::string {
    if (std::string trouble = migrate(lab, pid, "node2"); !trouble.empty()) return trouble;
    for (int i = 0; i < 20; ++i) {
      network.reset(i % 2 + 1);
      poll(nullptr, 0, static_cast<int>(random() % 100));
    }
    return comes_home(pid);
  });
}

// Longer than a connection lives without an answer: the links are made again.
TEST_F(NetworkTest, TheLinksOutliveAPartition) {
  expect_survives(
      [&](pid_t pid) -> std::string {
        if (std::string trouble = migrate(lab, pid, "node2"); !trouble.empty()) return trouble;
        network.unplug(2);
        poll(nullptr, 0, 40'000);
        network.plug();
        return comes_home(pid);
      },
      milliseconds(150'000));
}

// Its last word waits on the visited node until its home can be reached again.
TEST_F(NetworkTest, WhoEndsDuringAPartitionEndsAsNatively) {
  const fs::path directory = fresh_directory("ends");
  Child program({.words = lab.on_node(1, {"python3", "-c",
                                          "import sys, time\nopen(sys.argv[1] + '/begun', 'w').close()\n"
                                          "end = time.monotonic() + 6\nwhile time.monotonic() < end: pass\nsys.exit(7)",
                                          directory})},
                directory);
  ASSERT_TRUE(wait_until([&] { return fs::exists(directory / "begun"); }));
  ASSERT_EQ(migrate(lab, program.pid(), "node2"), "");
  network.unplug(2);
  const auto guests = [&] { return lab.omctl(2, {"ps"}).out; };
  ASSERT_TRUE(wait_until([&] { return guests().find("python") != std::string::npos; }));
  ASSERT_TRUE(wait_until([&] { return guests().find("python") == std::string::npos; }));
  EXPECT_FALSE(program.ended());
  poll(nullptr, 0, 15'000);  // the partition; a host used to wait for ten seconds
  network.plug();
  EXPECT_TRUE(program.wait_for_end(milliseconds(60'000)));
  EXPECT_TRUE(WIFEXITED(program.outcome().status) && WEXITSTATUS(program.outcome().status) == 7)
      << program.outcome().describe() << program.outcome().err;
  EXPECT_TRUE(wait_until([&] { return lab.hosts(2).empty(); })) << "its host stays";
}

// What `omctl set patience` says: a host that vanishes is waited for as long.
TEST_F(NetworkTest, WithoutPatienceAResetIsTheEnd) {
  ASSERT_TRUE(lab.omctl(1, {"set", "patience", "0"}).succeeded());
  const MovedRun got = run_moved([&](pid_t pid) -> std::string {
    if (std::string trouble = migrate(lab, pid, "node2"); !trouble.empty()) return trouble;
    network.reset(2);
    return "";
  });
  EXPECT_TRUE(WIFSIGNALED(got.outcome.status) && WTERMSIG(got.outcome.status) == SIGKILL) << got.outcome.describe();
  EXPECT_NE(got.outcome.err.find("node2"), std::string::npos) << got.outcome.err;
  EXPECT_TRUE(wait_until([&] { return lab.hosts(2).empty(); })) << "the guest outlived its deputy";
}

TEST_F(NetworkTest, PatienceEnds) {
  ASSERT_TRUE(lab.omctl(1, {"set", "patience", "2"}).succeeded());
  const MovedRun got = run_moved(
      [&](pid_t pid) -> std::string {
        if (std::string trouble = migrate(lab, pid, "node2"); !trouble.empty()) return trouble;
        network.unplug(2);
        return wait_until([&] { return !is_alive(pid); }, milliseconds(60'000)) ? "" : "it still waits";
      },
      milliseconds(100'000));
  EXPECT_TRUE(WIFSIGNALED(got.outcome.status) && WTERMSIG(got.outcome.status) == SIGKILL) << got.outcome.describe();
  network.plug();
  EXPECT_TRUE(wait_until([&] { return lab.hosts(2).empty(); }, milliseconds(60'000)))
      << "the guest outlived its deputy";
}

// What it says from then on must count as newer than what it has said before: the others would not listen to it.
TEST_F(NetworkTest, AClockMayBeSetBackBehindARestart) {
  const OwnClock clock;
  expect_survives([&](pid_t pid) -> std::string {
    if (std::string trouble = migrate(lab, pid, "node2"); !trouble.empty()) return trouble;
    for (const int node : {2, 1}) {
      lab.kill_homed(node);
      clock.set_ahead(std::chrono::hours(-24 * 365));
      const auto start = Clock::now();
      lab.restart_homed(node, "", clock.variables());
      if (!wait_until([&] { return news_age(3, node) < Clock::now() - start; })) return "node3 does not listen to it";
      if (std::string trouble = comes_home(pid); !trouble.empty()) return trouble;
      if (std::string trouble = migrate(lab, pid, "node2"); !trouble.empty()) return trouble;
    }
    return comes_home(pid);
  });
}

// ---- the matrix

struct Point {
  const char* name;
  int node;          // whose host stops there
  const char* from;  // where the program is before the move: "home" or a node
  const char* to;
};
constexpr Point kPoints[] = {
    {"before-freeze", 1, "home", "node2"},        {"frozen", 1, "home", "node2"},
    {"image-sent", 1, "home", "node2"},           {"pages-sent", 1, "home", "node2"},
    {"before-divert", 1, "home", "node2"},        {"after-divert", 1, "home", "node2"},
    {"arrive-placed", 2, "home", "node2"},        {"arrive-restored", 2, "home", "node2"},
    {"arrive-before-commit", 2, "home", "node2"}, {"arrive-committed", 2, "home", "node2"},
    {"home-captured", 2, "node2", "home"},        {"home-prepared", 2, "node2", "home"},
    {"relay-captured", 2, "node2", "node3"},      {"arrive-placed", 3, "node2", "node3"},
    {"arrive-restored", 3, "node2", "node3"},     {"arrive-before-commit", 3, "node2", "node3"},
    {"arrive-committed", 3, "node2", "node3"}};

enum class Fault { reset, partition, long_partition, homed_at_home, homed_visited, clocks };
const char* name_of(Fault fault) {
  switch (fault) {
    case Fault::reset: return "reset";
    case Fault::partition: return "partition_1s";
    case Fault::long_partition: return "partition_10s";
    case Fault::homed_at_home: return "homed_at_home";
    case Fault::homed_visited: return "homed_visited";
    case Fault::clocks: return "clocks";
  }
  return "";
}

struct Cell {
  Point point;
  Fault fault;
};
void PrintTo(const Cell& cell, std::ostream* out) { *out << cell.point.name << " " << name_of(cell.fault); }

std::vector<Cell> cells() {
  std::vector<Cell> all;
  for (const Point& point : kPoints) {
    for (const Fault fault :
         {Fault::reset, Fault::partition, Fault::homed_at_home, Fault::homed_visited, Fault::clocks})
      all.push_back({point, fault});
  }
  // Longer than any of a move's own time-outs, where each of its three kinds has gone furthest.
  for (const size_t at : {4, 8, 11, 15}) all.push_back({kPoints[at], Fault::long_partition});
  return all;
}

class Matrix : public NetworkTest, public testing::WithParamInterface<Cell> {
 protected:
  void arm(int node, const std::string& fault, pid_t pid, const Variables& variables = {}) {
    lab.kill_homed(node);
    lab.restart_homed(node, fault, variables);
    wait_until([&] { return lab.health().empty() && !where(pid).empty(); });
  }
};

TEST_P(Matrix, EndsAsNatively) {
  const auto& [point, fault] = GetParam();
  const int visited = point.to[0] == 'n' ? point.to[4] - '0' : 2;
  expect_survives([&, point = point, fault = fault](pid_t pid) -> std::string {
    std::string trouble;
    const std::string stop = fmt::format("{}:stop", point.name);
    const bool leaves_a_node = std::string(point.from) != "home";
    const bool own_host = leaves_a_node && point.node == 2;  // it must have been started by an armed homed
    const OwnClock early, late;
    const auto clock_of = [&](int node) {
      return fault == Fault::clocks ? (node == 1 ? early : late).variables() : Variables{};
    };
    const auto arm_all = [&] {
      arm(point.node, stop, pid, clock_of(point.node));
      const int other = point.node == 1 ? visited : 1;
      if (fault == Fault::clocks) arm(other, "", pid, clock_of(other));
    };
    if (own_host) arm_all();
    if (leaves_a_node) {
      if (trouble = migrate(lab, pid, point.from); !trouble.empty()) return trouble;
    }
    if (!own_host) arm_all();

    const auto mover = migrate_until_stopped(lab, pid, point.to, point.node, &trouble);
    if (!mover) return trouble;
    const auto go_on = [&] { kill(stopped_host(lab, point.node), SIGCONT); };
    switch (fault) {
      case Fault::reset:
        network.reset(1);
        network.reset(visited);
        go_on();
        break;
      case Fault::partition:
      case Fault::long_partition:
        network.unplug(visited);
        go_on();
        poll(nullptr, 0, fault == Fault::partition ? 1'000 : 10'000);
        network.plug();
        break;
      case Fault::homed_at_home:
      case Fault::homed_visited: {
        const int node = fault == Fault::homed_at_home ? 1 : visited;
        lab.kill_homed(node);
        go_on();
        lab.restart_homed(node);
        break;
      }
      case Fault::clocks:
        early.set_ahead(std::chrono::hours(24));
        late.set_ahead(std::chrono::hours(-24));
        go_on();
        break;
    }
    if (!mover->wait_for_end(milliseconds(60'000))) return "migrate never ended";
    if (!is_alive(pid)) return "it was lost";
    arm(point.node, "", pid);
    if (trouble = comes_home(pid); !trouble.empty()) return trouble;
    return migrate(lab, pid, "node3");
  });
}

std::string name_of_cell(const testing::TestParamInfo<Cell>& info) {
  const Point& point = info.param.point;
  std::string name = fmt::format("{}_{}_{}_{}", point.name, point.from, point.to, name_of(info.param.fault));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, Matrix, testing::ValuesIn(cells()), name_of_cell);

}  // namespace

}  // namespace omig::test
