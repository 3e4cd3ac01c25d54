// SPDX-License-Identifier: Apache-2.0
// A library that the visited node has in another version: the program goes on with its own, which is sent once.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/system/compare.h"
#include "tests/system/wait.h"

namespace omig::test {

namespace {

std::string mapped_libc() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.ends_with("/libc.so.6")) return line.substr(line.find('/'));
  return "";
}

// Files that are mapped at any moment of a move from node to node leave nothing behind at home, where it would keep the
// program from leaving again.
TEST(MappedFiles, AreNoObstacleLater) {
  Lab& lab = shared_lab();
  const fs::path directory = fresh_directory("mapped");
  const std::string body =
      "import mmap, os, sys\n"
      "for i in range(20): open(sys.argv[1] + f'/file{i}', 'wb').write(bytes([i]) * 8192)\n"
      "fds = [os.open(sys.argv[1] + f'/file{i}', os.O_RDONLY) for i in range(20)]\n"
      "open(sys.argv[1] + '/begun', 'w').close()\n"
      "while not os.path.exists(sys.argv[1] + '/end'):\n"
      "    maps = [mmap.mmap(fd, 8192, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) for fd in fds]\n"
      "    assert [m[5000] for m in maps] == list(range(20))\n"
      "    for m in maps: m.close()\n"
      "print('well')\n";
  Child program({.words = lab.on_node(1, {"python3", "-c", body, directory})}, directory);
  ASSERT_TRUE(wait_until([&] { return fs::exists(directory / "begun"); }));
  for (int round = 0; round < 4; ++round)
    for (const char* to : {"node2", "node3", "node4", "home"}) EXPECT_EQ(migrate(lab, program.pid(), to), "") << to;
  std::ofstream(directory / "end").close();
  EXPECT_TRUE(program.wait_for_end(milliseconds(60'000)));
  EXPECT_EQ(program.outcome().out, "well\n") << program.outcome().describe() << program.outcome().err;
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
