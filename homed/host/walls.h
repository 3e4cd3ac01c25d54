// SPDX-License-Identifier: Apache-2.0
// What a host that serves a guest gives up, for the day on which a guest finds a mistake in it (docs/THREATS.md).
#pragma once

namespace omig::host {

// First thing, before anybody is forked: what is started from here on can gain no right, and reaches neither signals
// nor abstract sockets nor, by ptrace, processes outside of the visit.
void give_up_the_others();

// With the guest's room made and the port open, still single-threaded: the calls that a host has no more use for.
// Throws std::runtime_error.
void give_up_calls();

}  // namespace omig::host
