// SPDX-License-Identifier: Apache-2.0
// How fast one CPU of this node is. 1 (openMosix: 10000) is a fixed reference: three kernels, dependent integer work,
// dependent floating-point work, and a walk through 2 MiB of memory (larger ones measure the neighbours), each against
// the time that it took on the machine where this was written; their geometric mean counts. Rounded to steps of 10%, so
// that equal nodes say the same.
//
// It is measured by a short-lived child of low priority, because homed must go on listening meanwhile, and kept in the
// state directory with what it depends on: CPU model, clock, boot. When one of these is another, it is measured anew.
#pragma once

#include <optional>
#include <string>

#include "lib/base/types.h"

namespace omig {

struct KernelTimes {
  double integer_s = 0, float_s = 0, memory_s = 0;  // CPU time of one run, the best of many
};
KernelTimes time_kernels();  // takes a second, and 0.1 s of it CPU time
double speed_of(const KernelTimes& times);

// What a measurement holds for: model, highest clock (cpufreq, else what /proc/cpuinfo says, to 100 MHz), boot. `root`
// is put before each path (tests).
std::string speed_key(const std::string& root = "");

// Of STATE_DIR/speed.json; nothing: not measured, or for another key.
std::optional<double> cached_speed(const std::string& state_dir, const std::string& key);
void cache_speed(const std::string& state_dir, const std::string& key, double speed);

}  // namespace omig
