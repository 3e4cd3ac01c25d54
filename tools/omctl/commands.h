// SPDX-License-Identifier: Apache-2.0
// What people type. Every function returns the exit status: 0 done, 1 not done (one line on stderr says why), 2 misuse.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace omig {

inline constexpr int kUsageError = 2;

struct RunOptions {
  std::optional<std::string> node;  // start there; nothing: here
  std::vector<std::string> command;
};

int run_command(const RunOptions& options);  // returns only if the command could not be started (126, 127)
int migrate_command(pid_t pid, const std::string& where, bool json);
int ps_command(bool json);
int where_command(pid_t pid, bool json);
int why_command(pid_t pid, bool json);
int nodes_command(bool json);
int doctor_command(bool json);

}  // namespace omig
