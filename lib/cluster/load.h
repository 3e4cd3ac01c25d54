// SPDX-License-Identifier: Apache-2.0
// How much CPU a process wants, and how slow a node is because of that. Pure functions.
//
// What counts is the wish to run, not the time got: ten busy processes on 0.4 of a CPU use no more than one does, but
// they are ten. So demand is sampled from the scheduler state (how many threads are runnable just now) and smoothed.
#pragma once

#include "lib/base/types.h"

namespace omig::cluster {

// What decisions see of a node. Names, addresses and versions are the directory's business (window.h).
struct NodeLoad {
  u32 id = 0;
  u64 incarnation = 0;  // when its daemon started, its own clock: a restarted node's news count as newer
  u64 seq = 0;
  double cpus = 1;      // fractional: a CPU quota counts
  double speed = 1;     // of one CPU; 1 = the reference
  double runnable = 0;  // threads that want to run there
  double held = 0;      // threads that would, but wait there for memory or for a CPU
  double reserved = 0;  // threads that are on their way there
  double told = 0;      // openMosix' load, 100 = one runnable thread per reference CPU, smoothed for export
  double coming = 0;    // new processes that started there per second, lately
  u64 free_bytes = 0;   // net of reservations
  u64 total_bytes = 0;
  u64 real_free_bytes = 0;  // not even the page cache's; for people only
  double utilisation = 0;   // of its CPUs, 0..1: what was used in the last second; for people only
  bool accepts = true;      // takes guests that the scheduler sends

  double load() const { return runnable + held + reserved; }
};

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

// openMosix' load, 100 = one runnable thread per reference CPU, sampled each second. What a node acts upon rises slowly
// and falls at once; what it tells others rises at once and falls slowly. Both errors are on the side of leaving
// processes where they are, and that is what prevents ping-pong.
class LoadAverage {
 public:
  void sample(double runnable, double cpus, double speed);
  double own() const { return own_; }
  double told() const { return told_; }

 private:
  double own_ = 0, told_ = 0;
};

// Total slowness of a node that n threads want to run on: how many there are times how much longer each takes than
// alone on a CPU of speed 1 (POLICY.md).
double slowness(double n, double cpus, double speed);
// What w more threads would add to a node that has n, and what they add to one of whose n they are a part.
double cost_of_adding(double n, double w, double cpus, double speed);
double relief_of_removing(double n, double w, double cpus, double speed);

}  // namespace omig::cluster
