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
  bool ignore_tracer = false;            // the asker itself traces the process and tracks its writes
  uid_t asker = static_cast<uid_t>(-1);  // on whose behalf; default: our own effective uid
};

// One line that names the reason, or nothing: it can move. A process that does not exist is a reason too.
// `shared`: its segments (sharing.h), every view of them.
std::optional<std::string> why_stays(pid_t pid, const ReasonsQuery& query = {},
                                     std::vector<SharedMapping>* shared = nullptr);

}  // namespace omig
