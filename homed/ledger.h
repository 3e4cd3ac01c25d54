// SPDX-License-Identifier: Apache-2.0
// The ledger of CPU time used on other nodes (lib/image/usage.h): what the daemon does with it.
#pragma once

#include <sys/types.h>

#include <string>

#include "lib/base/types.h"

namespace omig {

// Removes the files of processes that are gone, and those whose number another process has now.
void sweep_ledger(const std::string& state_dir);
// What a process itself has used on other nodes, in visits that have ended.
u64 ledger_cpu_ms(const std::string& state_dir, pid_t pid);

}  // namespace omig
