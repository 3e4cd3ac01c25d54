// SPDX-License-Identifier: Apache-2.0
// Many runs, few numbers.
#pragma once

#include <span>
#include <string>

#include "tests/sim/simulation.h"

namespace omig::sim {

// One policy on one scenario: ratios to the pooled bound on the same processes.
struct Measured {
  double mean = 0, p99 = 0;
  double short_mean = 0, long_mean = 0;         // processes under 2 s, over 20 s of demand
  double moves = 0, starts_away = 0;            // per process
  double messages_per_s = 0, gossip_per_s = 0;  // per node
  double decision_us = 0, news_age_s = 0;
  double lost = 0;  // share of the processes
  bool diverged = false;
};

Measured measure(const Scenario& scenario, const cluster::Policy& policy, const std::vector<Work>& trace,
                 const std::vector<double>& bound);
Measured measure(const Scenario& scenario, const cluster::Policy& policy);

// Mean of several seeds, with half the width of its 95% confidence interval.
struct Estimate {
  double mean = 0, half_width = 0;
};
Estimate estimate(std::span<const double> values);

// For each load a line with each policy's mean (and p99) slowdown over the pooled bound.
std::string markdown_table(Scenario scenario, std::span<const double> loads, std::span<const cluster::Policy> policies,
                           u32 seeds);

}  // namespace omig::sim
