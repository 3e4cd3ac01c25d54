// SPDX-License-Identifier: Apache-2.0
// The list of test programs and of the flavours that apply to each.
#pragma once

#include <span>
#include <string_view>

namespace omig::test {

struct Program {
  std::string_view name;   // the executable in build/tests/programs
  std::string_view stays;  // not empty: it must stay home, and the refusal says this
  // Why a flavour does not apply, empty if it does. Never "it fails".
  std::string_view not_away;
  // What omig does not do yet, told to users in README.md: away and moved are skipped with this reason.
  std::string_view known_limit;
  std::string_view known_limit_of_faults;  // the same for moves that break
  bool core = false;                       // also run as an ordinary user
  bool timed = false;  // has upper bounds on times: not for a machine that is overloaded on purpose (the storm)
};

std::span<const Program> programs();

}  // namespace omig::test
