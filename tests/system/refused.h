// SPDX-License-Identifier: Apache-2.0
// What a refusal looks like: an exit status that is not 0, nothing on stdout, one line on stderr.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <string>

#include "tests/system/child.h"

namespace omig::test {

// "" when it is a refusal whose line contains `text`, else what is wrong with it.
inline std::string not_refused(const Outcome& outcome, const std::string& text) {
  std::string said = fmt::format("{}, stdout \"{}\", stderr \"{}\"", outcome.describe(), outcome.out, outcome.err);
  if (outcome.timed_out || outcome.status == 0) return "not refused: " + said;
  if (WIFSIGNALED(outcome.status)) return "it died: " + said;
  if (!outcome.out.empty()) return "stdout is not empty: " + said;
  if (std::count(outcome.err.begin(), outcome.err.end(), '\n') != 1 || outcome.err.back() != '\n')
    return "not one line: " + said;
  if (outcome.err.find(text) == std::string::npos) return fmt::format("it does not say \"{}\": {}", text, said);
  return "";
}

inline testing::AssertionResult refused(const Outcome& outcome, const std::string& text) {
  std::string problem = not_refused(outcome, text);
  return problem.empty() ? testing::AssertionSuccess() : testing::AssertionFailure() << problem;
}

}  // namespace omig::test
