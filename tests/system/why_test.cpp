// SPDX-License-Identifier: Apache-2.0
// `omctl why` about a program that came home by itself: for what.
#include <gtest/gtest.h>
#include <sys/wait.h>

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

// At home and away: the numbers that the node where it runs would decide by, said by that node.
TEST(Why, TellsWhatThePolicyMakesOfIt) {
  const std::string script = R"(
import json, os, subprocess, sys, time
omctl, pid = sys.argv[1], str(os.getpid())
def why(node):
    limit = time.monotonic() + 20
    while True:
        text = json.loads(subprocess.run([omctl, "why", pid, "--json"], capture_output=True).stdout).get("decision", "")
        if "Considered: node" in text and f"on {node}'s" in text: return
        assert time.monotonic() < limit, text
        for _ in range(1000000): pass  # be busy: an idle one is not considered
why("node1")
subprocess.run([omctl, "migrate", pid, "node2"], check=True)
why("node2")
print("told")
)";
  Outcome outcome =
      run({.words = shared_lab().on_node(1, {"python3", "-c", script, omctl_path()})}, milliseconds(60'000));
  EXPECT_EQ(outcome.out, "told\n") << outcome.describe() << outcome.err;
}

// Of one that cannot move it is told why; where there is none, nothing is to be told.
TEST(Why, AProcessThatIsNotThereIsAnError) {
  const std::string none = "4194304";  // PID_MAX_LIMIT: one more than the greatest
  const Outcome refused = shared_lab().omctl(1, {"why", none});
  EXPECT_EQ(WEXITSTATUS(refused.status), 1) << refused.describe();
  EXPECT_EQ(refused.err, "omctl: process 4194304: no such process (see omctl ps)\n");
  EXPECT_EQ(refused.out, "");
  const Outcome told = shared_lab().omctl(1, {"why", "1"});
  EXPECT_TRUE(told.succeeded()) << told.describe();
  EXPECT_EQ(told.err, "");
}

}  // namespace

}  // namespace omig::test
