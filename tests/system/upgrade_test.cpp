// SPDX-License-Identifier: Apache-2.0
// Nodes of this and of the previous release in one cluster, and the way from one to the other. OMIG_TEST_PREVIOUS names
// the previous release's build folder (`tools/dev upgrade` makes it).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/system/mover.h"
#include "tests/system/other_homed.h"
#include "tests/system/wait.h"

namespace omig::test {

namespace {

class Upgrade : public testing::Test {
 protected:
  void SetUp() override {
    const char* build = getenv("OMIG_TEST_PREVIOUS");
    if (build == nullptr) GTEST_SKIP() << "OMIG_TEST_PREVIOUS names no build: tools/dev upgrade makes one";
    previous_ = build;
    ASSERT_TRUE(fs::exists(previous_ / "homed/homed")) << previous_;
    lab = std::make_unique<Lab>(3);
  }
  void restart(int node, bool previous) {
    lab->kill_homed(node);
    lab->restart_homed(node, "", previous ? with_homed(previous_ / "homed/homed") : Variables{});
  }
  std::string all_see_each_other() {
    return wait_until([&] { return lab->health().empty(); }) ? "" : lab->health();
  }
  // Busy, four threads, files; it checks itself all the time. Of node 1, with the engine of this or of that release.
  void expect_survives(bool previous, std::function<std::string(pid_t)> act) {
    const Command native{.words = {build_path("tests/programs/threads_parallel_calls")}};
    Command worker = native;
    if (previous)
      worker.words.insert(worker.words.begin(), {"env", "LD_PRELOAD=" + (previous_ / "preload/libomig.so").string()});
    const std::string wrong = unlike_native(native, worker, *lab, std::move(act));
    EXPECT_TRUE(wrong.empty()) << wrong;
  }
  // Or the test would prove nothing.
  bool is_previous(pid_t pid, const char* what) const {
    return read_file(fmt::format("/proc/{}/maps", pid)).find(previous_.string() + "/" + what) != std::string::npos;
  }
  std::string visits(pid_t pid, const std::vector<std::string>& nodes) {
    for (const std::string& node : nodes)
      if (const std::string trouble = migrate(*lab, pid, node); !trouble.empty())
        return fmt::format("to {}: {}", node, trouble);
    return "";
  }

  fs::path previous_;
  std::unique_ptr<Lab> lab;
};

TEST_F(Upgrade, ANodeOfThePreviousReleaseIsVisited) {
  restart(2, true);
  expect_survives(false, [&](pid_t pid) {
    if (std::string trouble = all_see_each_other(); !trouble.empty()) return trouble;
    if (std::string trouble = visits(pid, {"node2"}); !trouble.empty()) return trouble;
    if (lab->hosts(2).size() != 1 || !is_previous(lab->hosts(2).front(), "homed/host/omig-host"))
      return std::string("its host is not the previous release's");
    return visits(pid, {"home", "node2", "node3", "node2", "node3", "home"});
  });
}

TEST_F(Upgrade, ANodeOfThePreviousReleaseIsHome) {
  restart(1, true);
  expect_survives(true, [&](pid_t pid) {
    if (std::string trouble = all_see_each_other(); !trouble.empty()) return trouble;
    if (!is_previous(pid, "preload/libomig.so")) return std::string("its engine is not the previous release's");
    return visits(pid, {"node2", "home", "node3", "node2", "home"});
  });
}

// Node after node, while the program is away: its host stays what it was, its deputy as well.
TEST_F(Upgrade, NoVisitIsDisturbed) {
  for (const int node : {1, 2, 3}) restart(node, true);
  expect_survives(true, [&](pid_t pid) {
    if (std::string trouble = all_see_each_other(); !trouble.empty()) return trouble;
    if (std::string trouble = visits(pid, {"node2"}); !trouble.empty()) return trouble;
    for (const int node : {2, 1, 3}) {
      const auto hosts = lab->hosts(2);
      restart(node, false);
      if (std::string trouble = all_see_each_other(); !trouble.empty()) return trouble;
      if (lab->hosts(2) != hosts || hosts.size() != 1) return fmt::format("node{}'s restart disturbed it", node);
      if (!wait_until([&] { return lab->omctl(1, {"where", std::to_string(pid)}).out == "node2\n"; }))
        return fmt::format("it is not found after node{}'s restart", node);
    }
    return visits(pid, {"node3", "home", "node2", "home"});
  });
}

}  // namespace

}  // namespace omig::test
