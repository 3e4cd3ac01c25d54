// SPDX-License-Identifier: Apache-2.0
// Running one program of tests/programs (or any other) while it is moved about.
//
// The conversation with a test program is described in tests/programs/program.h. Real programs do not announce
// anything: they are moved by the clock (run_by_clock).
#pragma once

#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/system/lab.h"

namespace omig::test {

enum class Flavour {
  native,  // no omig anywhere
  away,    // `omctl run -n node2`: away from its first instruction
  moved,   // starts at home; moved at every announcement
  faults,  // the same, but some of the moves break before the commit (lab.h, faulty_lab)
};
const char* name_of(Flavour flavour);

struct MovePlan {
  unsigned long seed = 1;
  int first_moves = 7;  // at the first announcement
  int later_moves = 3;  // at every later one
  int nodes = 3;
  std::string may_stay;  // not empty: a move may be refused with a reason that contains this
  std::string stays;     // not empty: every move must be refused with a reason that contains this
  // What is done at the first announcement instead of moves; says what went wrong, empty: nothing.
  std::function<std::string(pid_t)> instead;
  milliseconds limit{60'000};
};

struct MovedRun {
  Outcome outcome;
  std::vector<std::string> moves;  // "4711 -> node2", in order, with what went wrong
  int succeeded = 0;               // moves that did
  int broken = 0;                  // that were to break, and did
  bool blocked = false;            // it was moved while it sat inside the call under test
  std::string trouble;             // the first thing that went wrong with the moving itself
};

// Runs `command` in its own directory, in the given flavour. `lab` may be null for native.
MovedRun run_program(const Command& command, Flavour flavour, Lab* lab, const MovePlan& plan);

// Runs `command` on node 1 and moves it (and, if `family`, any of its descendants) every 200 to 300 ms, and at least
// ten times during a run that takes as long as natively. What is busy when its turn comes is passed over: a parent in a
// vfork would take the moves of all others.
MovedRun run_by_clock(const Command& command, Lab& lab, const MovePlan& plan, bool family, milliseconds native_time);

// One move, retried while omctl says that the process is only busy. "" when done, "gone" when the process ended
// meanwhile, else omctl's message.
inline constexpr milliseconds kPatience{30'000};
std::string migrate(const Lab& lab, pid_t pid, const std::string& target, int home = 1,
                    milliseconds patience = kPatience);

// Waits until `omctl lab exec` has become the program (an exec away would bring it home). Whether it has.
bool until_it_is(const std::string& name, pid_t pid);

bool is_alive(pid_t pid);  // and no zombie

// The environment that test programs get in every flavour.
std::vector<std::pair<std::string, std::string>> program_environment(const Lab* lab, Flavour flavour);

}  // namespace omig::test
