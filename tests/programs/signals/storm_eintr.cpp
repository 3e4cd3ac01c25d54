// SPDX-License-Identifier: Apache-2.0
// The storm of storm_calls.h, without SA_RESTART: a call says EINTR if a handler ran within it, and only then.
#include "tests/programs/signals/storm_calls.h"

int main() { return storm::run(0); }
