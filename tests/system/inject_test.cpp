// SPDX-License-Identifier: Apache-2.0
// Programs that a preloaded library cannot reach: they get the engine when they move.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/system/compare.h"

namespace omig::test {
namespace {

void expect_as_native(const Command& command) {
  MovePlan plan;
  plan.seed = run_seed();
  const MovedRun want = run_program(command, Flavour::native, nullptr, plan);
  ASSERT_EQ(want.outcome.err, "") << "natively it fails";
  for (Flavour flavour : {Flavour::away, Flavour::moved}) {
    const MovedRun got = run_program(command, flavour, &shared_lab(), plan);
    std::string problems = differences(got, want);
    if (problems.empty() && flavour == Flavour::moved && got.succeeded == 0) problems = "it was never moved\n";
    EXPECT_EQ(problems, "") << name_of(flavour) << circumstances(got, &shared_lab());
  }
}

class Static : public testing::TestWithParam<const char*> {};

TEST_P(Static, AsNative) {
  expect_as_native({.words = {build_path(fmt::format("tests/system/static_{}", GetParam()))}});
}

INSTANTIATE_TEST_SUITE_P(All, Static,
                         testing::Values("processes_family", "processes_fork_wait", "threads_mutex", "threads_churn",
                                         "signals_restart", "files_blocked_read", "sockets_tcp", "memory_heap",
                                         "time_sleeps"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Inject, AProgramWithoutOurVariables) {
  // It keeps those by which the harness knows it.
  expect_as_native(
      {.words = {"/bin/sh", "-c",
                 "unset LD_PRELOAD OMIG_DIR; exec " + build_path("tests/programs/processes_family").string()}});
}

// Its own preloaded library stays in front of the C library, and it moves.
TEST(Inject, AProgramWithItsOwnPreload) {
  const fs::path directory = fresh_directory("preload");
  std::ofstream(directory / "own.c") << "int getppid(void) { return 4711; }\n";
  const fs::path library = directory / "own.so";
  ASSERT_TRUE(run({.words = {"gcc", "-shared", "-fPIC", "-o", library, directory / "own.c"}}).succeeded());
  const std::string script = "LD_PRELOAD=\"" + library.string() +
                             " $LD_PRELOAD\" python3 -c 'import os,time\nfor i in range(20):\n  time.sleep(0.02)\n  "
                             "print(os.getppid())'";
  MovePlan plan;
  plan.seed = run_seed();
  const Command command{.words = {"/bin/sh", "-c", script}};
  const MovedRun want = run_program(command, Flavour::native, nullptr, plan);
  const MovedRun got = run_by_clock(command, shared_lab(), plan, true, milliseconds(500));
  EXPECT_EQ(differences(got, want), "") << circumstances(got, &shared_lab());
  EXPECT_NE(want.outcome.out.find("4711"), std::string::npos) << want.outcome.out;
  EXPECT_GT(got.succeeded, 0);
}

class OtherLibrary : public testing::Test {
 protected:
  // Compiles a program by a compiler that need not be there.
  static bool compile(const std::vector<std::string>& words, const std::string& compiler) {
    if (!run({.words = {"/bin/sh", "-c", "command -v " + compiler}}).succeeded()) return false;
    const Outcome built = run({.words = words}, milliseconds(180'000));
    EXPECT_TRUE(built.succeeded()) << built.err;
    return built.succeeded();
  }
  static void expect_moved_by_clock(const Command& command) {
    MovePlan plan;
    plan.seed = run_seed();
    const auto start = Clock::now();
    const MovedRun want = run_program(command, Flavour::native, nullptr, plan);
    const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
    ASSERT_TRUE(want.outcome.succeeded()) << want.outcome.describe() << want.outcome.err;
    const MovedRun got = run_by_clock(command, shared_lab(), plan, true, took);
    EXPECT_EQ(differences(got, want), "") << circumstances(got, &shared_lab());
    EXPECT_GT(got.succeeded, 0);
  }
};

TEST_F(OtherLibrary, Musl) {
  const fs::path directory = fresh_directory("musl");
  const std::string source = std::string(OMIG_SOURCE_DIR) + "/tests/system/subjects/portable.c";
  if (!compile({"musl-gcc", "-O1", "-pthread", "-o", directory / "dynamic", source}, "musl-gcc"))
    GTEST_SKIP() << "musl-gcc is not installed (package musl-tools)";
  ASSERT_TRUE(compile({"musl-gcc", "-static", "-O1", "-pthread", "-o", directory / "static", source}, "musl-gcc"));
  for (const char* name : {"dynamic", "static"}) expect_moved_by_clock({.words = {directory / name}});
}

TEST_F(OtherLibrary, Go) {
  const fs::path directory = fresh_directory("go");
  const std::string source = std::string(OMIG_SOURCE_DIR) + "/tests/system/subjects/goroutines.go";
  if (!compile({"/bin/sh", "-c",
                fmt::format("HOME={0} GOCACHE={0}/cache go build -o {0}/program {1}", directory.string(), source)},
               "go"))
    GTEST_SKIP() << "go is not installed (package golang-go)";
  expect_moved_by_clock({.words = {directory / "program"}});
}

}  // namespace
}  // namespace omig::test
