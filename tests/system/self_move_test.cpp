// SPDX-License-Identifier: Apache-2.0
// A program that has its own child move it: the child leaves vfork by exec and asks at home, before its parent, away,
// has heard that the vfork is over.
#include <gtest/gtest.h>

#include "tests/system/compare.h"

namespace omig::test {

namespace {

TEST(SelfMove, AVforkThatIsJustOverKeepsNobody) {
  const std::string script = R"(
import os, subprocess, sys
for i in range(60):
    for where in ("node2", "home"):
        asked = subprocess.run([sys.argv[1], "migrate", str(os.getpid()), where], capture_output=True, text=True)
        if asked.returncode != 0: print(i, where, asked.stderr, end="")
print("moved")
)";
  // Several at once: alone the parent is nearly always faster.
  const std::string three = R"(for i in 1 2 3; do "$@" & done; wait)";
  Outcome outcome =
      run({.words = shared_lab().on_node(1, {"sh", "-c", three, "sh", "python3", "-c", script, omctl_path()})},
          milliseconds(240'000));
  EXPECT_EQ(outcome.out, "moved\nmoved\nmoved\n") << outcome.describe() << outcome.err;
}

}  // namespace

}  // namespace omig::test
