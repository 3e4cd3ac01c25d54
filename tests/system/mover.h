// SPDX-License-Identifier: Apache-2.0
// Moves that a test carries out step by step: their answers, movers in the background, hosts that stand still.
//
// Whoever moves a process asks again when that is only busy (a thread in a vfork, a start that is not over): so do
// these, because what they are asked for is what comes after it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tests/system/compare.h"

namespace omig::test {

bool is_busy(const Outcome& answer);  // and so worth another attempt

// What `omctl migrate` says in the end: when it is not to be asked `again`, or after half a minute.
Outcome answer_to_migrate(const Lab& lab, pid_t pid, const std::string& target, int home = 1,
                          const std::function<bool(const Outcome&)>& again = is_busy);

// `omctl migrate` in the background, from node 1.
std::unique_ptr<Child> start_migrate(const Lab& lab, pid_t pid, const std::string& target);

bool is_stopped(pid_t pid);

// The host of `node` that stands still at its fault point (OMIG_FAULT=POINT:stop). 0: none does.
pid_t stopped_host(const Lab& lab, int node);

// A mover with whose move a host of `node` came to its fault point. Null: none did; *trouble says what the mover said.
std::unique_ptr<Child> migrate_until_stopped(const Lab& lab, pid_t pid, const std::string& target, int node,
                                             std::string* trouble);

// The program whose moves are broken: eight threads that call and check all the time, with pauses of 2 ms, so that the
// moves need not wait for a CPU.
Command worker();

// Runs `native` as that, and `moved`, which is the same program, on node 1, where `act` is done at its announcement
// (MovePlan::instead). In what the two are not the same, with all that a failure needs; empty: nothing.
std::string unlike_native(const Command& native, const Command& moved, Lab& lab, std::function<std::string(pid_t)> act,
                          milliseconds limit = milliseconds(60'000));

}  // namespace omig::test
