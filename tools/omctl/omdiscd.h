// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/cli/command_line.h"

namespace omig {

int omdiscd_main(const cli::Words& words);

}  // namespace omig
