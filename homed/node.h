// SPDX-License-Identifier: Apache-2.0
// What this node is made of: CPUs (a cgroup's quota counts), speed, memory, CPU features.
#pragma once

#include <set>
#include <string>

#include "lib/base/types.h"

namespace omig {

double usable_cpus();    // affinity and cgroup quotas; fractional
double measure_speed();  // of one CPU, 1 = the reference, in steps of 10% so that equal nodes say the same
struct Memory {
  u64 free_bytes = 0;
  u64 total_bytes = 0;
};
Memory memory_now();
const std::set<std::string>& cpu_features();  // flags of /proc/cpuinfo

}  // namespace omig
