// SPDX-License-Identifier: Apache-2.0
// Starting commands by openMosix' names. All return only if the command could not be started.
#pragma once

#include "lib/cli/command_line.h"

namespace omig {

int mosrun_main(const cli::Words& words);
int cpujob_main(const cli::Words& words);
int iojob_main(const cli::Words& words);
int nomig_main(const cli::Words& words);
int runhome_main(const cli::Words& words);
int nunhome_main(const cli::Words& words);
int runon_main(const cli::Words& words);
int omrunon_main(const cli::Words& words);
int omsh_main(const cli::Words& words);
int fastdecay_main(const cli::Words& words);
int slowdecay_main(const cli::Words& words);
int nodecay_main(const cli::Words& words);

}  // namespace omig
