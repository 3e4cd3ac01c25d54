// SPDX-License-Identifier: Apache-2.0
// A node whose memory a cgroup limits, and a program that wants more than that: the kernel would kill it. Ushered to
// another node, it ends well.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

using Json = nlohmann::json;

constexpr int kLimit_mib = 400;

void write_file(const fs::path& path, const std::string& text) { std::ofstream(path) << text << std::flush; }

// A memory cgroup of its own, in v1 or v2; empty path: there can be none here.
class LimitedMemory {
 public:
  LimitedMemory() {
    const std::string name = fmt::format("omig-test-{}", getpid());
    const bool v1 = fs::exists("/sys/fs/cgroup/memory/cgroup.procs");
    const fs::path root = v1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    if (!v1 && read_file(root / "cgroup.subtree_control").find("memory") == std::string::npos) return;
    std::error_code error;
    if (!fs::create_directory(root / name, error)) return;
    path_ = root / name;
    write_file(path_ / (v1 ? "memory.limit_in_bytes" : "memory.max"), std::to_string(kLimit_mib << 20));
    if (!v1) write_file(path_ / "memory.swap.max", "0");
  }
  ~LimitedMemory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove(path_, ignored);
  }
  LimitedMemory(const LimitedMemory&) = delete;
  LimitedMemory& operator=(const LimitedMemory&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Takes 700 MiB, 10 every tenth of a second, and looks whether all of it is as it was written.
constexpr const char* kHog = R"(
import time
blocks = []
for i in range(70):
    block = bytearray(10 << 20)
    block[::4096] = bytes([i + 1]) * 2560
    blocks.append(block)
    time.sleep(0.1)
assert all(b[0] == i + 1 and b[-4096] == i + 1 for i, b in enumerate(blocks))
print("kept 700 MiB")
)";

class Ushering : public testing::Test {
 protected:
  Outcome run_hog(Lab& lab) {
    write_file(memory_.path() / "cgroup.procs", std::to_string(lab.homed(1)));
    const std::string join = fmt::format("echo $$ >{}/cgroup.procs && exec python3 -c \"$0\"", memory_.path().string());
    return run({.words = lab.on_node(1, {"bash", "-c", join, kHog})}, milliseconds(120'000));
  }
  LimitedMemory memory_;
};

TEST_F(Ushering, TheHogLeavesBeforeTheKernelKillsIt) {
  if (memory_.path().empty()) GTEST_SKIP() << "no memory cgroup can be made here (root, and the memory controller)";
  Lab lab(2, {"--balance"});
  const Outcome outcome = run_hog(lab);
  EXPECT_EQ(outcome.out, "kept 700 MiB\n") << outcome.describe() << outcome.err << lab.logs();
  bool ushered = false;
  std::istringstream lines(lab.omctl(1, {"log", "--json"}).out);
  for (std::string line; std::getline(lines, line);) {
    const Json move = Json::parse(line);
    ushered = ushered || (move.value("cause", "") == "usher" && move.value("ok", false) &&
                          move.value("reason", "").find("MiB have to go") != std::string::npos);
  }
  EXPECT_TRUE(ushered) << lab.logs();
}

// The other half: the limit is real.
TEST_F(Ushering, WithoutItTheKernelKills) {
  if (memory_.path().empty()) GTEST_SKIP() << "no memory cgroup can be made here (root, and the memory controller)";
  Lab lab(2);
  const Outcome outcome = run_hog(lab);
  EXPECT_FALSE(outcome.succeeded()) << outcome.describe();
  EXPECT_EQ(outcome.out, "");
}

}  // namespace

}  // namespace omig::test
