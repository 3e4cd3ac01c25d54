// SPDX-License-Identifier: Apache-2.0
// How fast what a process did is forgotten (`mosrun -f -s -n`, `mosctl setdecay`), on request.
#pragma once

#include "homed/daemon.h"

namespace omig {

// {"op":"decay","pid":N,"kind":"slow"|"fast"|"none"}: of one process and of what it starts from now on; its owner may.
// {"op":"decay","interval_ms":N,"slow":P,"fast":P}: of the node, per mille kept per interval; root and homed's user
// may.
// {"op":"decay"}: how it is. Answers with all of it.
Json set_decay(Daemon& daemon, const Json& request, const Asker& asker);

}  // namespace omig
