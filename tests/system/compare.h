// SPDX-License-Identifier: Apache-2.0
// The judgement of all system tests: a run is right when it cannot be told from the native one.
#pragma once

#include <string>

#include "tests/system/moves.h"

namespace omig::test {

// Everything in which the run is not as the native one, a line each; empty: nothing.
std::string differences(const MovedRun& got, const MovedRun& want);
// What a failure needs to be understood and repeated: seed, moves, the ends of the nodes' logs.
std::string circumstances(const MovedRun& run, const Lab* lab);
// Of this test run: OMIG_TEST_SEED or the clock.
unsigned long run_seed();

}  // namespace omig::test
