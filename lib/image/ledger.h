// SPDX-License-Identifier: Apache-2.0
// The ledger's files (usage.h), for hosted code.
#pragma once

#include <span>
#include <vector>

#include "lib/image/usage.h"

namespace omig::image {

// A file's records; a part of one at its end is left out.
std::vector<UsageRecord> parse_ledger(std::span<const char> bytes);
// What a process itself has used in visits that have ended; `tid`: only that thread of it.
CpuTime used_elsewhere(std::span<const UsageRecord> ledger, i32 pid, i32 tid = 0);

}  // namespace omig::image
