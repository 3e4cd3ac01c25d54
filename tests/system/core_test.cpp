// SPDX-License-Identifier: Apache-2.0
// A program that dies away from home by a signal that dumps: home gets its core, the same as natively as far as a
// debugger can see (signal, registers' meaning, stack, variables).
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>

#include "tests/system/compare.h"

namespace omig::test {
namespace {

// What gdb says of a core, without what differs from run to run (addresses, numbers of processes).
std::string autopsy(const fs::path& program, const fs::path& core) {
  const Outcome gdb = run({.words = {"gdb", "-batch", "-nx", "-ex", "bt", "-ex", "print/x marker", program, core}});
  std::istringstream lines(gdb.out);
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Program terminated")) result += line + "\n";
    if (line.starts_with("$1")) result += line + "\n";
    if (!line.starts_with("#")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (word.starts_with("0x") || word == "in" || word.find('=') != std::string::npos) continue;
      result += word + " ";
    }
    result += "\n";
  }
  return result;
}

class Core : public testing::TestWithParam<const char*> {
 protected:
  struct Death {
    MovedRun run;
    std::string core;
  };
  static Death die(Flavour flavour) {
    const fs::path directory = fresh_directory("core");
    Command command{.words = {build_path("tests/system/subject_crash"), GetParam()}};
    command.directory = directory;
    MovePlan plan;
    plan.seed = run_seed();
    Death death{run_program(command, flavour, flavour == Flavour::native ? nullptr : &shared_lab(), plan), ""};
    for (const auto& file : fs::directory_iterator(directory))
      if (file.path().filename().string().starts_with("core")) death.core = autopsy(command.words.front(), file.path());
    return death;
  }
};

TEST_P(Core, IsWrittenAtHome) {
  if (read_file("/proc/sys/kernel/core_pattern") != "core\n")
    GTEST_SKIP() << "core_pattern sends cores elsewhere on this machine";
  if (access("/usr/bin/gdb", X_OK) != 0) GTEST_SKIP() << "gdb is not installed";
  const Death native = die(Flavour::native);
  ASSERT_TRUE(WIFSIGNALED(native.run.outcome.status) && WCOREDUMP(native.run.outcome.status));
  ASSERT_NE(native.core, "");
  for (Flavour flavour : {Flavour::away, Flavour::moved}) {
    const Death got = die(flavour);
    EXPECT_EQ(differences(got.run, native.run), "") << name_of(flavour) << circumstances(got.run, &shared_lab());
    EXPECT_EQ(got.core, native.core) << name_of(flavour);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Core, testing::Values("segv", "abort", "blocked", "handler"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace omig::test
