// SPDX-License-Identifier: Apache-2.0
// `omctl completion`: what shells need to complete omctl, made of its own description; and what they ask while they do.
#pragma once

#include "lib/cli/command_line.h"

namespace omig {

int completion_main(const cli::Words& words);

// The scripts. tree: describe_omctl().
std::string bash_completion(const nlohmann::json& tree);
std::string zsh_completion(const nlohmann::json& tree);

}  // namespace omig
