// SPDX-License-Identifier: Apache-2.0
// Puts deputy.allow (allow.h) into force for the calling thread and all that it starts from then on, for good: by the
// kernel, not by the engine, for whoever runs the visited node may also send a program home with other code in it.
//
// Files and signals by Landlock; sockets, and what would lead around all this, by a seccomp filter. The program has the
// rules from its start and not from its departure on: else it would notice that it moves.
//
// What remains open, because omig's own connections need it: code that comes home changed can jump to the engine's
// socket() and connect to somebody by TCP over IPv4. The calls that a deputy is asked for cannot.
#pragma once

#include "lib/confine/allow.h"

namespace omig::confine {

// Where omig lies for a program of this user: libraries to load, and what it writes of CPU time.
struct Place {
  std::string home;      // "~"
  std::string binaries;  // libomig.so and the engine
  std::string state;     // homed's directory
};

// Sets no_new_privs. Empty: done. Else one line that says why not; the caller must not go on as if it were.
std::string confine(const Allow& allow, const Place& place);

}  // namespace omig::confine
