// SPDX-License-Identifier: Apache-2.0
// Every program of the table, in every flavour that applies: the output and the end must be the native run's.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/system/compare.h"
#include "tests/system/table.h"

namespace omig::test {

// For GoogleTest's messages.
void PrintTo(const Program& program, std::ostream* out) { *out << program.name; }
void PrintTo(Flavour flavour, std::ostream* out) { *out << name_of(flavour); }

namespace {

using Case = std::pair<Program, Flavour>;

Command command_of(const Program& program) {
  return {.words = {build_path("tests/programs") / std::string(program.name)}};
}

// The native run of each program, made once.
const MovedRun& native(const Program& program) {
  static std::map<std::string_view, MovedRun> runs;
  auto found = runs.find(program.name);
  if (found == runs.end())
    found = runs.emplace(program.name, run_program(command_of(program), Flavour::native, nullptr, {})).first;
  return found->second;
}

class Programs : public testing::TestWithParam<Case> {};

TEST_P(Programs, AsNative) {
  const auto& [program, flavour] = GetParam();
  const MovedRun& want = native(program);
  ASSERT_FALSE(want.outcome.timed_out) << "natively it does not end: " << want.outcome.err;
  ASSERT_EQ(want.outcome.err, "") << "natively it fails";
  if (flavour == Flavour::native) return;
  if (!program.known_limit.empty()) GTEST_SKIP() << program.known_limit;
  if (flavour == Flavour::faults && !program.known_limit_of_faults.empty())
    GTEST_SKIP() << program.known_limit_of_faults;
  Lab& lab = flavour == Flavour::faults ? faulty_lab() : shared_lab();
  MovePlan plan;
  plan.seed = run_seed();
  plan.stays = program.stays;
  MovedRun got = run_program(command_of(program), flavour, &lab, plan);
  std::string problems = differences(got, want);
  if (problems.empty() && flavour != Flavour::away && program.stays.empty() && got.succeeded == 0)
    problems = "it was never moved\n";
  if (problems.empty() && flavour == Flavour::faults && got.broken == 0) problems = "no move broke\n";
  RecordProperty("moves", got.succeeded);
  RecordProperty("broken", got.broken);
  if (got.blocked) RecordProperty("blocked", 1);
  if (!program.stays.empty()) RecordProperty("stays", std::string(program.stays));
  if (!problems.empty()) ADD_FAILURE() << problems << circumstances(got, &lab);
  // One broken run must not take the following ones with it.
  if (HasFailure() && lab.health() != "") drop_shared_lab();
}

std::vector<Case> cases() {
  std::vector<Case> cases;
  for (const Program& program : programs())
    for (Flavour flavour : {Flavour::native, Flavour::away, Flavour::moved, Flavour::faults}) {
      const bool away = flavour != Flavour::away || program.not_away.empty();
      if (away && (flavour != Flavour::faults || program.stays.empty())) cases.emplace_back(program, flavour);
    }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, Programs, testing::ValuesIn(cases()), [](const auto& info) {
  return fmt::format("{}_{}", info.param.first.name, name_of(info.param.second));
});

// A program that is built but not in the table would never run; one in the table only would never be built.
TEST(Table, HasEveryProgram) {
  std::set<std::string> built, listed;
  for (const auto& entry : fs::directory_iterator(build_path("tests/programs"))) {
    bool executable = (entry.status().permissions() & fs::perms::owner_exec) != fs::perms::none;
    if (entry.is_regular_file() && executable && entry.path().extension() != ".so")
      built.insert(entry.path().filename());
  }
  for (const Program& program : programs()) EXPECT_TRUE(listed.emplace(program.name).second) << program.name;
  EXPECT_EQ(built, listed);
}

}  // namespace

}  // namespace omig::test
