// SPDX-License-Identifier: Apache-2.0
// Why a process of this node cannot leave it, from what /proc says: asked by `omctl why`, by homed before a move and by
// the mover before it freezes (and again while the process is frozen, when the answer is final).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "homed/sharing.h"

namespace omig {

struct ReasonsQuery {
  bool ignore_tracer = false;  // the asker itself traces the process and tracks its writes
  bool held = false;           // to its user's deputy.allow: one of its seccomp filters is ours (lib/confine)
};

// What only smaps tells of mappings that can travel.
struct AdvisedRange {
  u64 start = 0, end = 0;
  bool dont_fork = false, wipe_on_fork = false, dont_dump = false, grows_down = false;
};
struct MemoryFacts {
  std::vector<SharedMapping> shared;  // segments (sharing.h), every view of them
  std::vector<AdvisedRange> advised;  // sorted
};

// One line that names the reason, or nothing: it can move. A process that does not exist is a reason too.
std::optional<std::string> why_stays(pid_t pid, const ReasonsQuery& query = {}, MemoryFacts* facts = nullptr);

std::vector<AdvisedRange> advised_ranges(pid_t pid);

}  // namespace omig
