// SPDX-License-Identifier: Apache-2.0
// All that omctl can be told, in the order of its help: a new command is a line in table.cpp. Help, man pages,
// completions and the tests that every command passes follow from it.
#pragma once

#include <span>

#include "lib/cli/command_line.h"

namespace omig {

struct Entry {
  const char* name;
  cli::Main main;
};

// `omctl NAME ...`
std::span<const Entry> commands();
// What the program is when it is called by another name, by a link: `mosmon ...`.
std::span<const Entry> other_names();

// `omctl WORDS`, whatever command it is.
int omctl_main(const cli::Words& words);

const Entry* entry_named(std::span<const Entry> entries, std::string_view name);

// The whole tree: {"name": "omctl", ..., "commands": [...], "other_names": [...]} (lib/cli/command_line.h).
nlohmann::json describe_omctl();

}  // namespace omig
