// SPDX-License-Identifier: Apache-2.0
// What people type. Every function returns the exit status: 0 done, 1 not done (one line on stderr says why), 2 misuse.
#pragma once

#include "lib/cli/command_line.h"

namespace omig {

using cli::kUsageError;

int run_main(const cli::Words& words);  // returns only if the command could not be started (126, 127)
int migrate_main(const cli::Words& words);
int ps_main(const cli::Words& words);
int where_main(const cli::Words& words);
int why_main(const cli::Words& words);
int nodes_main(const cli::Words& words);
int allow_main(const cli::Words& words);
int doctor_main(const cli::Words& words);

int nodes_command(bool json);

}  // namespace omig
