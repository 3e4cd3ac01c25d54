// SPDX-License-Identifier: Apache-2.0
// A library that the visited node has in another version: the program goes on with its own, which is sent once.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

std::string mapped_libc() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.ends_with("/libc.so.6")) return line.substr(line.find('/'));
  return "";
}

TEST(DifferingFiles, AreSentOnceAndKept) {
  if (geteuid() != 0)
    GTEST_SKIP() << "only root's lab nodes have file systems of their own, where a library can differ";
  Lab lab{4};
  const std::string libc = mapped_libc();
  ASSERT_NE(libc, "");
  const fs::path other = fresh_directory("libc") / "libc.so.6";
  fs::copy_file(libc, other);
  std::ofstream(other, std::ios::app) << "another";
  const Outcome bound = run({.words = lab.on_node(2, {"env", "-u", "LD_PRELOAD", "mount", "--bind", other, libc})});
  ASSERT_TRUE(bound.succeeded()) << bound.err;
  const fs::path kept = fs::path(lab.state_dir(2)) / "files";
  Command program{.words = {build_path("tests/programs/threads_parallel_calls")}};
  const MovedRun want = run_program(program, Flavour::native, nullptr, {});
  for (int round = 0; round < 2; round++) {
    MovePlan plan;
    plan.seed = run_seed() + static_cast<unsigned>(round);
    const MovedRun got = run_program(program, Flavour::moved, &lab, plan);
    EXPECT_EQ(differences(got, want), "") << circumstances(got, &lab);
    size_t files = 0;
    for (const auto& each : fs::directory_iterator(kept)) {
      files++;
      EXPECT_EQ(each.file_size(), fs::file_size(libc)) << each.path();
      EXPECT_EQ(each.path().filename().string().size(), 64u) << each.path();
    }
    EXPECT_EQ(files, 1u);
  }
}

}  // namespace

}  // namespace omig::test
