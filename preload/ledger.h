// SPDX-License-Identifier: Apache-2.0
// Between the two halves of libomig.so: its constructor, and its functions of CPU time.
#pragma once

#include "lib/base/types.h"

namespace omig {

struct LedgerPath {
  char text[128];
};
// STATE/usage/PID of the calling process. False: it has none.
bool find_own_ledger(LedgerPath* path);
void find_functions_behind();  // by the constructor

}  // namespace omig
