// SPDX-License-Identifier: Apache-2.0
// `omctl help NAME`: the manual page that belongs to this very program.
#pragma once

#include "lib/cli/command_line.h"

namespace omig {

int help_main(const cli::Words& words);

}  // namespace omig
