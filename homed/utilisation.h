// SPDX-License-Identifier: Apache-2.0
// How busy this node's CPUs are. `runnable` says how many threads would like to run, this how much they got.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "lib/base/types.h"

namespace omig {

// What the node's CPU time is read from: of the machine (/proc/stat); or, where a quota makes the node a part of one,
// of the quota's cgroup: what the kernel has counted for it, or, where v1 counts elsewhere, what its processes used.
// Those that start and end between two looks are missed then.
class Utilisation {
 public:
  explicit Utilisation(std::string root = "") : root_(std::move(root)) {}

  // 0..1 of `cpus`, since the last call; 0 the first time.
  double sample(double cpus, i64 now_ms);

 private:
  double used_ms_since_last();
  double processes_used_ms(const std::string& folder);

  std::string root_;  // put before each path (tests)
  i64 sampled_ms_ = 0;
  double counted_ms_ = 0;
  std::map<pid_t, double> processes_ms_;
};

}  // namespace omig
