// SPDX-License-Identifier: Apache-2.0
// The storm of storm_calls.h, with SA_RESTART: no call ever says EINTR.
#include "tests/programs/signals/storm_calls.h"

int main() { return storm::run(SA_RESTART); }
