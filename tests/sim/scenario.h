// SPDX-License-Identifier: Apache-2.0
// What happens to a simulated cluster: the machines, and a list of processes drawn from a seed before any policy sees
// it, so that all policies (and the bound) are measured on the same work.
#pragma once

#include <vector>

#include "lib/base/types.h"

namespace omig::sim {

struct Scenario {
  u32 nodes = 32;
  double load = 0.8;    // of the cluster's capacity
  bool mixed = false;   // speeds 1:2:4 in equal numbers, instead of all the same
  bool tight = false;   // memory for 4.35 mean processes per node, instead of plenty
  double time_s = 600;  // processes arrive for so long
  double warm_s = 60;   // those that arrive before are not measured
  u64 seed = 1;

  double trees = 0;           // share of the work that comes as trees: a parent forks a dozen children within a moment
  double delay_s = 100e-6;    // of a message, mean
  double loss = 0.001;        // of messages
  double failures_per_h = 0;  // per node; it is back, empty, after a minute
  double io = 0.2;            // share of processes that are I/O-bound
  double history = 0.8;       // share of starts whose program has been seen before: its I/O and memory are known
  bool all_on_one = false;    // no arrivals: `load` processes per CPU, all on node 1 at the start, none ends
};

inline constexpr double kCpusPerNode = 4;
inline constexpr double kLinkBytes_per_s = 1e9;
inline constexpr double kMoveFixed_s = 0.005;
inline constexpr double kPagingSlowdown = 10;  // of a node that uses more memory than it has
inline constexpr double kAwayIoSlowdown = 1.5;
inline constexpr double kIoCalls_per_s = 2'500;

// One process.
struct Work {
  double at_s = 0;
  u32 home = 0;         // nodes are 1..N
  double demand_s = 0;  // on a CPU of the fastest kind
  u64 bytes = 0;
  u64 believed_bytes = 0;  // when it starts
  bool io = false;         // 1.5 times slower away from home
  bool known = true;       // its I/O habit is
};

double speed_of(const Scenario& scenario, u32 node);  // the fastest kind is 1
u64 memory_of(const Scenario& scenario);

// Arrivals in the order of time. Lifetimes are heavy-tailed (bounded Pareto, 0.5..200 s, mean 2.6 s), memory is 0.2..3
// GB (log-uniform, mean 1.03), a fifth is I/O-bound, and a quarter of the nodes is home to half of the work.
std::vector<Work> draw(const Scenario& scenario);

// Slowdowns (response / demand on the fastest CPU) that one machine with all the CPUs would reach which shares them
// equally among all processes, the fastest first, and moves them for nothing. Aligned with the trace.
std::vector<double> pooled_slowdowns(const Scenario& scenario, const std::vector<Work>& trace);

}  // namespace omig::sim
