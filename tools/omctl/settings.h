// SPDX-License-Identifier: Apache-2.0
// What administrators tell a node: its settings, and the two orders that empty it; by omig's names and by openMosix'.
#pragma once

#include "lib/cli/command_line.h"

namespace omig {

// One of them; the exit status.
int change_setting(const std::string& name, const nlohmann::json& value);

int set_main(const cli::Words& words);
int bring_main(const cli::Words& words);
int expel_main(const cli::Words& words);
int mosctl_main(const cli::Words& words);

}  // namespace omig
