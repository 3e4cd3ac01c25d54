// SPDX-License-Identifier: Apache-2.0
// How much CPU a process wants, and how slow a node is because of that. Pure functions.
//
// What counts is the wish to run, not the time got: ten busy processes on 0.4 of a CPU use no more than one does, but
// they are ten. So demand is sampled from the scheduler state (how many threads are runnable just now) and smoothed.
#pragma once

#include "lib/base/types.h"

namespace omig::cluster {

// Smoothed number of runnable threads of one process.
class DemandMeter {
 public:
  DemandMeter() = default;
  // A process that arrives is believed to want what it was said to want until it shows otherwise.
  explicit DemandMeter(double believed) : level_(believed), samples_(1) {}

  void sample(double runnable_threads, i64 elapsed_ms);
  // The level, with values a little below a whole number taken as that number: a CPU-bound thread that blocked once in
  // a while still is one thread's load, and placements do not tremble with it.
  double demand() const;
  u32 samples() const { return samples_; }

 private:
  double level_ = 0;
  u32 samples_ = 0;
};

// Total slowness of a node that n threads want to run on: how many there are times how much longer each takes than
// alone on a CPU of speed 1 (POLICY.md).
double slowness(double n, double cpus, double speed);
// What w more threads would add to a node that has n, and what they add to one of whose n they are a part.
double cost_of_adding(double n, double w, double cpus, double speed);
double relief_of_removing(double n, double w, double cpus, double speed);

}  // namespace omig::cluster
