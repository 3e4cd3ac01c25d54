// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/cli/command_line.h"

namespace omig {

// `omctl sim ...`: the cluster's policies on simulated clusters (docs/POLICY.md).
int sim_main(const cli::Words& words);

}  // namespace omig
