// SPDX-License-Identifier: Apache-2.0
// What the administrator of a node has told it (mosctl block, lstay, stay, quiet, setspeed ...). Kept in the state
// directory, so that a new homed goes on by it.
#pragma once

#include "homed/daemon.h"

namespace omig {

// As they were when the last homed ended. A file that cannot be understood is logged and not used.
void restore_settings(Daemon& daemon);

// From now on, and for the next homed. Empty: done; else why not.
std::string keep_settings(Daemon& daemon, const Settings& wanted);

// {"op":"settings"}: all of them, {"ok":true,"settings":{...}}.
Json answer_settings(const Daemon& daemon);
// {"op":"set", NAME: VALUE, ...}: root and homed's user may; either all of the values are good and kept, or none.
// Answers as the other.
Json change_settings(Daemon& daemon, const Json& request, uid_t asker);

}  // namespace omig
