// SPDX-License-Identifier: Apache-2.0
// The C library in a lab, by the C program of examples/ that uses it.
#include <gtest/gtest.h>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

TEST(Library, ACProgramSeesTheClusterAndMovesAProgram) {
  const std::string script = R"PY(
import os, subprocess, sys
omctl, cluster, pid = sys.argv[1], sys.argv[2], str(os.getpid())
def say(*words): return subprocess.run([cluster, *words], capture_output=True, text=True)
moved = say(pid, "node2")
assert moved.returncode == 0 and moved.stdout.startswith(pid + " is on node2; it stood still for "), moved
assert subprocess.run([omctl, "where", pid], capture_output=True).stdout == b"node2\n"
shown = say()
assert shown.returncode == 0, shown
for node in "1 node1", "4 node4": assert f"    {node}        up   load " in shown.stdout, shown
assert f"{pid} of node1 on node2, 1 moves: " in shown.stdout, shown
for words, reason in (((pid, "nobody"), "no node nobody known here (see omctl nodes) (No such device or address)"),
                      (("2000000000", "2"), "process 2000000000: no such process (see omctl ps) (No such process)")):
    refused = say(*words)
    assert refused.returncode == 1 and refused.stderr == f"cluster: {reason}\n", refused
assert say(pid, "home").returncode == 0
assert subprocess.run([omctl, "where", pid], capture_output=True).stdout == b"node1\n"
for name, value in ("block", "1"), ("speed", "15000"), ("slow-decay", "900"):
    before = say("set", name).stdout
    assert say("set", name, value).stdout == f"{name} {value}\n", (name, say("set", name))
    assert say("set", *before.split()).stdout == before, name
refused = say("set", "block", "2")
assert refused.returncode == 1 and refused.stderr == "cluster: block is 0 or 1, not 2 (Invalid argument)\n", refused
os.environ["OMIG_DIR"] = "/nonexistent"
alone = say()
assert alone.returncode == 1 and "no homed at /nonexistent/homed.sock" in alone.stderr, alone
print("done")
)PY";
  const Outcome outcome =
      run({.words = shared_lab().on_node(1, {"python3", "-c", script, omctl_path(), build_path("examples/cluster")})},
          milliseconds(90'000));
  EXPECT_EQ(outcome.out, "done\n") << outcome.describe() << outcome.err;
}

}  // namespace

}  // namespace omig::test
