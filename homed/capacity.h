// SPDX-License-Identifier: Apache-2.0
// Keeps what this node says of its CPUs true: their number when a quota or an affinity changes, their speed when the
// clock does. What was given on the command line, or by a request, stays as given.
#pragma once

#include "homed/daemon.h"

namespace omig {

// The measuring child's whole life: measures at the lowest priority, prints the speed. Returns its exit status.
int print_speed();

awaitable<void> keep_capacity(Daemon& daemon);
// How busy the CPUs are, each second.
awaitable<void> keep_utilisation(Daemon& daemon);

}  // namespace omig
