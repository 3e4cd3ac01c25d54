// SPDX-License-Identifier: Apache-2.0
// A wait whose end is near when the program moves ends then, and not as much later as it has waited already. (The
// table's programs are moved as soon as they wait.)
#include <gtest/gtest.h>
#include <poll.h>

#include "tests/system/mover.h"

namespace omig::test {
namespace {

struct Way {
  const char* name;
  const char* first;  // where it begins to wait is home; it goes there at once, if anywhere
  const char* late;   // and there after 1.2 s
};

class Waits : public testing::TestWithParam<Way> {};

// The program says how long its read of 2 s has taken, if that is 3 s or more.
TEST_P(Waits, OfATerminalEndInTime) {
  Lab& lab = shared_lab();
  const Command program{.words = {build_path("tests/programs/tty_blocked_timed_read")}};
  const std::string wrong = unlike_native(program, program, lab, [&](pid_t pid) -> std::string {
    const auto late = Clock::now() + milliseconds(1'200);
    std::string trouble;
    if (*GetParam().first != '\0') trouble = migrate(lab, pid, GetParam().first);
    if (!trouble.empty()) return trouble;
    while (Clock::now() < late) poll(nullptr, 0, 10);
    return migrate(lab, pid, GetParam().late);
  });
  EXPECT_EQ(wrong, "");
}

INSTANTIATE_TEST_SUITE_P(All, Waits,
                         testing::Values(Way{"away", "", "node2"}, Way{"home", "node2", "home"},
                                         Way{"on", "node2", "node3"}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace omig::test
