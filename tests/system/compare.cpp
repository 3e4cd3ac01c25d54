// SPDX-License-Identifier: Apache-2.0
#include "tests/system/compare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace omig::test {

namespace {

// Where two texts part, for texts too long to print.
std::string first_difference(const std::string& got, const std::string& want) {
  size_t at = 0;
  while (at < got.size() && at < want.size() && got[at] == want[at]) at++;
  return fmt::format("differs from byte {} of {} (natively {}) on: \"{}\", natively \"{}\"", at, got.size(),
                     want.size(), got.substr(at, 80), want.substr(at, 80));
}

}  // namespace

std::string differences(const MovedRun& got, const MovedRun& want) {
  // The program was ended because of it, so how it ended says nothing.
  if (!got.trouble.empty()) return "moving: " + got.trouble + "\n" + got.outcome.err;
  std::string text;
  if (got.outcome.timed_out || got.outcome.status != want.outcome.status)
    text += fmt::format("ended: {}, natively {}\n", got.outcome.describe(), want.outcome.describe());
  if (got.outcome.out != want.outcome.out)
    text += "stdout " + first_difference(got.outcome.out, want.outcome.out) + "\n";
  if (got.outcome.err != want.outcome.err)
    text += "stderr " + first_difference(got.outcome.err, want.outcome.err) + "\n";
  return text;
}

std::string circumstances(const MovedRun& run, const Lab* lab) {
  return fmt::format("moves (OMIG_TEST_SEED={}): {}\n{}", run_seed(), fmt::join(run.moves, ", "),
                     lab ? lab->logs() : "");
}

unsigned long run_seed() {
  static const unsigned long seed = [] {
    const char* text = getenv("OMIG_TEST_SEED");
    return text ? std::stoul(text) : static_cast<unsigned long>(Clock::now().time_since_epoch().count() % 1'000'000);
  }();
  return seed;
}

}  // namespace omig::test
