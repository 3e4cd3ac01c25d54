// SPDX-License-Identifier: Apache-2.0
// The core programs once more as an ordinary user: this test executable runs itself under another uid, with a lab on
// loopback addresses.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "tests/system/child.h"
#include "tests/system/table.h"

namespace omig::test {

namespace {

constexpr uid_t kUser = 54'321;

// The build may lie where an ordinary user cannot look (below /root, say), so he gets a copy of what is run.
void copy_build(const fs::path& to) {
  for (const char* name : {"tools/omctl", "homed/homed", "homed/host/omig-host", "homed/host/omig-stub",
                           "preload/libomig.so", "preload/omig-engine", "tests/system/system_tests"}) {
    fs::create_directories((to / name).parent_path());
    if (fs::exists(build_path(name))) fs::copy_file(build_path(name), to / name);
  }
  fs::create_directories(to / "tests/programs");
  for (const auto& entry : fs::directory_iterator(build_path("tests/programs")))
    if (entry.is_regular_file()) fs::copy_file(entry.path(), to / "tests/programs" / entry.path().filename());
}

// What failed, without the logs that each failure brings.
std::string essence(const std::string& output) {
  std::istringstream lines(output);
  std::string text;
  for (std::string line; std::getline(lines, line);)
    for (const char* start : {"[  FAILED", "[  PASSED", "moving:", "ended:", "stderr", "stdout", "moves", "C++"})
      if (line.starts_with(start)) text += line + "\n";
  return text;
}

TEST(Rootless, CoreProgramsInAllFlavours) {
  if (geteuid() != 0) GTEST_SKIP() << "not root: the whole run is a rootless one already";
  fs::path home = fresh_directory("rootless");
  copy_build(home / "build");
  for (const char* name : {"tmp", "run"}) {
    fs::create_directory(home / name);
    ASSERT_EQ(chown((home / name).c_str(), kUser, kUser), 0);
    fs::permissions(home / name, fs::perms::owner_all);
  }
  std::string filter;
  int count = 0;
  for (const Program& program : programs())
    if (program.core) filter += fmt::format("{}All/Programs.AsNative/{}_*", count++ ? ":" : "", program.name);
  std::string user = std::to_string(kUser);
  Outcome outcome =
      run({.words = {"setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs", "--bounding-set",
                     "-all", "env", "-u", "OMIG_DIR", "-u", "OMCTL", home / "build/tests/system/system_tests",
                     "--gtest_filter=" + filter, "--gtest_brief=1"},
           .environment = {{"TMPDIR", home / "tmp"}, {"XDG_RUNTIME_DIR", home / "run"}, {"HOME", home / "tmp"}},
           .directory = home / "tmp"},
          milliseconds(400'000));
  EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << "\n" << essence(outcome.out) << outcome.err;
  EXPECT_NE(outcome.out.find("PASSED"), std::string::npos) << tail(outcome.out, 20);
}

}  // namespace

}  // namespace omig::test
