// SPDX-License-Identifier: Apache-2.0
// The users' deputy.allow (lib/confine/allow.h), kept in the state directory: a user who has one wants nothing of his
// to leave that is not held to it. `omctl run` asks for it, and puts it into force before it becomes the program.
#pragma once

#include "homed/daemon.h"

namespace omig {

// {"op":"allow"}: the asker's, {"ok":true,"text":TEXT}, null if he has none. {"op":"allow","text":TEXT}: from now on it
// is this one, or none if it is null. Root may name another "uid".
Json answer_allow(const Daemon& daemon, const Json& request, const Asker& asker);

// Why a process of ours may not leave, if for this.
std::optional<std::string> why_not_held(const Daemon& daemon, const Process& process);

}  // namespace omig
