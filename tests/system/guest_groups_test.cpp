// SPDX-License-Identifier: Apache-2.0
// Guests that want all there is of a node whose administrator has set limits: the kernel keeps them to it, and what
// they came for is done all the same.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "lib/base/types.h"
#include "tests/system/membership.h"

namespace omig::test {

namespace {

// The folder in which the node's homed has made the visits' (homed/guest_group.h); empty: none.
fs::path guest_groups(Lab& lab, int node, const char* with) {
  std::istringstream lines(read_file(lab.state_dir(node) / "guest-groups"));
  for (std::string line; std::getline(lines, line);)
    if (fs::exists(fs::path(line) / with)) return line;
  return {};
}

std::vector<fs::path> visits(const fs::path& base) {
  std::vector<fs::path> found;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(base, gone))
    if (entry.is_directory(gone)) found.push_back(entry.path());
  return found;
}

// A gigabyte as fast as the kernel gives it, once the file is there.
constexpr const char* kGrow = R"py(
import os, sys
open(sys.argv[1] + "/begun", "w").close()
while not os.path.exists(sys.argv[1] + "/grow"): sum(range(1000))
all = [b"x" * (8 << 20) for _ in range(128)]
print(sum(len(each) for each in all) >> 20)
)py";

TEST(GuestGroups, WhoAllocatesWithoutEndIsSentHome) {
  Lab lab(2);
  ASSERT_TRUE(lab.omctl(2, {"set", "guest_mb", "64"}).succeeded());
  const fs::path directory = fresh_directory("grows");
  Child grows({.words = lab.on_node(1, {"python3", "-c", kGrow, directory})}, directory);
  ASSERT_NO_FATAL_FAILURE(until_there(directory / "begun"));
  ASSERT_EQ(migrate(lab, grows.pid(), "node2"), "");
  const bool v2 = !guest_groups(lab, 2, "memory.current").empty();
  const fs::path base = guest_groups(lab, 2, v2 ? "memory.current" : "memory.usage_in_bytes");
  if (base.empty()) GTEST_SKIP() << "homed can make no cgroup with the memory controller here";
  std::ofstream(directory / "grow").close();
  ASSERT_TRUE(grows.wait_for_end(milliseconds(120'000))) << lab.logs();
  EXPECT_EQ(grows.outcome().out, "1024\n") << grows.outcome().describe() << grows.outcome().err << lab.logs();
  const std::string log = lab.omctl(2, {"log"}).out;
  EXPECT_NE(log.find("64 are allowed here (guest_mb)"), std::string::npos) << log;
  // Its wall is at 192 MiB, and moves by 64 twice a second while it is sent home.
  const u64 most = number_in(base / (v2 ? "memory.peak" : "memory.max_usage_in_bytes")) >> 20;
  EXPECT_GT(most, 64u);
  EXPECT_LT(most, 512u);
  EXPECT_TRUE(wait_until([&] { return visits(base).empty(); })) << "the folders of its visit stay";
  EXPECT_EQ(lab.health(), "");
}

// CPU time of all that live in the visit: guests, their init, and the host.
u64 cpu_ticks(const fs::path& visit) {
  u64 sum = 0;
  for (const char* folder : {"host", "guests"}) {
    std::istringstream pids(read_file(visit / folder / "cgroup.procs"));
    for (pid_t pid = 0; pids >> pid;) {
      std::istringstream fields(read_file(fmt::format("/proc/{}/stat", pid)));
      std::string word;
      u64 user = 0, system = 0;
      while (fields >> word && word.back() != ')') {
      }
      for (int i = 0; i < 11; ++i) fields >> word;
      fields >> user >> system;
      sum += user + system;
    }
  }
  return sum;
}

class CpuOfAGuest : public testing::TestWithParam<const char*> {};

// Who computes, and who does nothing but calls, which are its host's work.
TEST_P(CpuOfAGuest, IsAsAllowed) {
  Lab lab(2);
  const Outcome set = lab.omctl(2, {"set", "guest_cpu", "30"});
  if (!set.succeeded()) GTEST_SKIP() << set.err;
  const bool computes = std::string(GetParam()) == "computes";
  const std::string body = "import os, sys\nopen(sys.argv[1] + '/begun', 'w').close()\nwhile True: ";
  const fs::path directory = fresh_directory("guest");
  Child guest({.words = lab.on_node(1, {"python3", "-c", body + (computes ? "pass" : "os.stat('/')"), directory})},
              directory);
  ASSERT_NO_FATAL_FAILURE(until_there(directory / "begun"));
  ASSERT_EQ(migrate(lab, guest.pid(), "node2"), "");
  const fs::path base = guest_groups(lab, 2, "cpu.stat");
  // The folders of an attempt that was begun anew go.
  ASSERT_TRUE(wait_until([&] { return visits(base).size() == 1; }));
  const fs::path visit = visits(base).front();
  const auto begin = Clock::now();
  const u64 before = cpu_ticks(visit);
  wait_until([&] { return Clock::now() - begin > std::chrono::seconds(4); });
  const double ticks = static_cast<double>(cpu_ticks(visit) - before);
  const double share =
      ticks / static_cast<double>(sysconf(_SC_CLK_TCK)) / std::chrono::duration<double>(Clock::now() - begin).count();
  EXPECT_GT(share, 0.03);
  EXPECT_LT(share, 0.45);  // of a CPU, where 0.3 are allowed; without a limit it is about 1
  kill(guest.pid(), SIGKILL);
  EXPECT_TRUE(guest.wait_for_end(milliseconds(30'000)));
  EXPECT_TRUE(wait_until([&] { return visits(base).empty(); })) << "the folders of its visit stay";
}

INSTANTIATE_TEST_SUITE_P(Work, CpuOfAGuest, testing::Values("computes", "calls"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace

}  // namespace omig::test
