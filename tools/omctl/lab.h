// SPDX-License-Identifier: Apache-2.0
// `omctl lab`: a cluster of N nodes on one machine.
#pragma once

#include "lib/cli/command_line.h"

// words: what follows `omctl lab` ("up", "--nodes", "4", ...). The exit status; messages are already printed.
int lab_main(const omig::cli::Words& words);
