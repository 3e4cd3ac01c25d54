// SPDX-License-Identifier: Apache-2.0
// The cluster as seen from one node: its map, joining and leaving; by omig's names and by openMosix'.
#pragma once

#include <string>

#include "lib/cli/command_line.h"

namespace omig {

// All return the exit status. check_map: nothing is changed. load_map: "-" is standard input.
int check_map(const std::string& file, bool json);
int load_map(const std::string& file, bool force, bool only_idle, bool json);
// Out of the cluster; `force`: whatever is away or here goes home first.
int leave_cluster(bool force, bool json);
// The map that the node goes by; of a node that goes by none, what it knows. To `file`, or printed if that is empty.
int print_current_map(const std::string& file, bool json);

int map_main(const cli::Words& words);
int showmap_main(const cli::Words& words);
int setpe_main(const cli::Words& words);
int join_main(const cli::Words& words);
int cluster_main(const cli::Words& words);
int leave_main(const cli::Words& words);

}  // namespace omig
