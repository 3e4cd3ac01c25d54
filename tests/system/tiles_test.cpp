// SPDX-License-Identifier: Apache-2.0
// A program that asks for AMX stays at home, and comes home if it asks while it is away: tiles are not carried.
#include <gtest/gtest.h>
#include <poll.h>

#include <fstream>

#include "tests/system/membership.h"

namespace omig::test {

namespace {

constexpr const char* kAsks = R"py(
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
directory = sys.argv[1]
def wait_for(name):
    while not os.path.exists(directory + "/" + name): sum(range(20000))
def allowed():
    mask = ctypes.c_ulong()
    assert libc.syscall(158, 0x1022, ctypes.byref(mask)) == 0
    return mask.value >> 18 & 1
open(directory + "/ready", "w").close()
wait_for("ask")
assert allowed() == 0
assert libc.syscall(158, 0x1023, 18) == 0, ctypes.get_errno()
assert allowed() == 1
open(directory + "/asked", "w").close()
wait_for("end")
assert allowed() == 1
print("well")
)py";

bool has_amx() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("flags")) return line.find(" amx_tile") != std::string::npos;
  return false;
}

TEST(Tiles, WhoAsksForThemComesHomeAndStays) {
  if (!has_amx()) GTEST_SKIP() << "this CPU has no AMX";
  Lab& lab = shared_lab();
  const fs::path directory = fresh_directory("tiles");
  Child child({.words = lab.on_node(1, {"python3", "-c", kAsks, directory.string()})}, directory);
  until_there(directory / "ready");
  const std::string pid = std::to_string(child.pid());
  const Outcome moved = lab.omctl(1, {"migrate", pid, "2"});
  EXPECT_TRUE(moved.succeeded()) << moved.err;
  std::ofstream(directory / "ask") << "now";
  until_there(directory / "asked");
  EXPECT_EQ(lab.omctl(1, {"where", pid}).out, "node1\n");
  const Outcome refused = lab.omctl(1, {"migrate", pid, "2"});
  EXPECT_NE(refused.err.find("it has asked for AMX tiles"), std::string::npos) << refused.err;
  EXPECT_EQ(lab.omctl(1, {"where", pid}).out, "node1\n");
  std::ofstream(directory / "end") << "now";
  ASSERT_TRUE(child.wait_for_end(milliseconds(60'000)));
  EXPECT_EQ(child.outcome().out, "well\n") << child.outcome().describe();
}

}  // namespace

}  // namespace omig::test
