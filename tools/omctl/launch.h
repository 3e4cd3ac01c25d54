// SPDX-License-Identifier: Apache-2.0
// How a command is started so that it can move: what `omctl run`, `mosrun` and its wrappers have in common.
#pragma once

#include <string>

#include "lib/cli/command_line.h"
#include "lib/cluster/job.h"

namespace omig {

struct Launch {
  std::string node;       // where it starts: a name, a number, "home"; empty: here, and the policy decides
  std::string node_list;  // or a random one of these numbers, "1,4-6"
  bool strict = false;    // not there: it is not started; else it starts here, and that is said
  cluster::JobChange job;
};

inline constexpr int kNotLaunched = 125;  // as env, nice and timeout have it: the fault is ours, not the command's

// Becomes the command. Returns only if that could not be done, with the exit status: kNotLaunched, 126, 127.
int launch(const Launch& launch, const cli::Words& command);

// "1,4-6,8", for options.
CLI::Validator node_list_check();

}  // namespace omig
