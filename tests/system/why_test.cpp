// SPDX-License-Identifier: Apache-2.0
// `omctl why` about a program that came home by itself: for what.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

// Goes away, asks for memory that only home can make, and asks why it is home. `then` is done first.
std::string why_after(const std::string& then) {
  const std::string script = R"(
import mmap, os, subprocess, sys
omctl, pid = sys.argv[1], str(os.getpid())
subprocess.run([omctl, "migrate", pid, "node2"], check=True)
assert subprocess.run([omctl, "where", pid], capture_output=True).stdout == b"node2\n"
)" + then + R"(
assert subprocess.run([omctl, "where", pid], capture_output=True).stdout == b"node1\n"
sys.stdout.write(subprocess.run([omctl, "why", pid, "--json"], capture_output=True, text=True).stdout)
)";
  Outcome outcome =
      run({.words = shared_lab().on_node(1, {"python3", "-c", script, omctl_path()})}, milliseconds(60'000));
  EXPECT_TRUE(outcome.succeeded()) << outcome.describe() << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out, nullptr, false);
  return json.is_object() ? json.value("came_home_for", "") : "no answer: " + outcome.out;
}

TEST(Why, TellsForWhichCallItCameHome) { EXPECT_EQ(why_after("memory = mmap.mmap(-1, 4096)"), "needs shared memory"); }

TEST(Why, SaysNothingOfAReturnThatWasAskedFor) {
  EXPECT_EQ(why_after("subprocess.run([omctl, 'migrate', pid, 'home'], check=True)"), "");
}

}  // namespace

}  // namespace omig::test
