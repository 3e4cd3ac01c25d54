// SPDX-License-Identifier: Apache-2.0
// What this node is made of: CPUs (a cgroup's quota counts), memory, CPU features. `root` is put before each path
// (tests, with planted files).
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lib/base/types.h"

namespace omig {

// Affinity, cpusets and quotas of our cgroup and its ancestors, v1 or v2; fractional, at least 0.01.
double usable_cpus(const std::string& root = "");

// The cgroup, ours or an ancestor, whose CPU quota is the tightest; an empty path and no limit if there is none.
struct QuotaFolder {
  std::string path;
  double cpus;
};
QuotaFolder quota_folder(const std::string& root = "");
// The folders of a process' cgroup ("self": of ours) and its ancestors in the hierarchy of a v1 controller, or of v2
// (controller empty): innermost first, as far as our mount shows them. None: it is not mounted.
std::vector<std::string> cgroup_folders(const std::string& root, const std::string& controller,
                                        const std::string& process = "self");
// A file that begins with a number; the number behind a name at the begin of a line ("usage_usec 17").
std::optional<double> number_in_file(const std::string& path);
std::optional<double> number_in_stat(const std::string& path, const std::string& name);

// The tightest of the machine and the memory limits of our cgroup and its ancestors. Page cache that can be dropped
// without being read again soon (inactive_file) counts as free there, as MemAvailable has it for the machine.
struct Memory {
  u64 free_bytes = 0;
  u64 real_free_bytes = 0;  // in nobody's use, not even the page cache's
  u64 total_bytes = 0;
  // Of the last ten seconds, the share in which somebody here (or in our cgroup) stood still for memory: PSI, some
  // avg10; 0 where the kernel has none.
  double stalled = 0;
  bool has_psi = false;
  // Without PSI: how often since the start a page was needed again that had been given up (workingset_refault_*).
  u64 refaults = 0;
};
Memory memory_now(const std::string& root = "");

const std::set<std::string>& cpu_features();  // flags of /proc/cpuinfo

}  // namespace omig
