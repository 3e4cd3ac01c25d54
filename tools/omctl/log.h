// SPDX-License-Identifier: Apache-2.0
// `omctl log`: what this node's scheduler moved by itself, and what it tried.
#pragma once

#include <nlohmann/json.hpp>

#include "lib/cli/command_line.h"

namespace omig {

// words: the command line behind "log". The exit status.
int log_main(const cli::Words& words);
// One automatic move in a line, as homed tells of it (docs/JSON.md).
void print_move(const nlohmann::json& move);

}  // namespace omig
