// SPDX-License-Identifier: Apache-2.0
// Programs that a preloaded library cannot reach: static ones, Go's, those of another C library or without our
// variables in their environment. They get the engine when they are asked to move, from outside.
#pragma once

#include <sys/types.h>

#include <string>

namespace omig::host {

// Maps the engine into a running process that has none, by calls executed in its first thread while all are stopped.
// False, with the reason in a line: it is as it was. If the caller is killed meanwhile, the thread finds back by itself
// (freeze.cpp, inject), provided its code has the two pieces that this needs; nearly all programs have.
bool inject_engine(pid_t pid, std::string* reason);

}  // namespace omig::host
