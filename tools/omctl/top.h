// SPDX-License-Identifier: Apache-2.0
// `omctl top` (openMosix: mosmon): the cluster on a full screen, a bar per node.
#pragma once

#include "lib/cli/command_line.h"

namespace omig {

// words: the command line behind "top". The exit status.
int top_main(const cli::Words& words);

}  // namespace omig
