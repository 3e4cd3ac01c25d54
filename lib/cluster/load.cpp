// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/load.h"

#include <algorithm>
#include <cmath>

namespace omig::cluster {

namespace {
constexpr double kMemory_ms = 1200;  // how long the meter remembers
constexpr double kSnapBelow = 0.3;   // this far below a whole number is still that number
}  // namespace

void DemandMeter::sample(double runnable_threads, i64 elapsed_ms) {
  if (samples_++ == 0) {
    level_ = runnable_threads;
    return;
  }
  const double keep = std::exp(-static_cast<double>(std::max<i64>(elapsed_ms, 0)) / kMemory_ms);
  level_ = keep * level_ + (1 - keep) * runnable_threads;
}

double DemandMeter::demand() const {
  const double above = std::ceil(level_);
  if (above - level_ <= kSnapBelow) return above;
  return level_ < 0.02 ? 0 : level_;
}

void LoadAverage::sample(double runnable, double cpus, double speed) {
  const double now = 100 * runnable / (cpus * speed);
  own_ = now > own_ ? (5 * own_ + 3 * now) / 8 : now;
  told_ = now < told_ ? (7 * told_ + now) / 8 : now;
}

double slowness(double n, double cpus, double speed) { return n * std::max(1.0, n / cpus) / speed; }

double cost_of_adding(double n, double w, double cpus, double speed) {
  return slowness(n + w, cpus, speed) - slowness(n, cpus, speed);
}

double relief_of_removing(double n, double w, double cpus, double speed) {
  return slowness(n, cpus, speed) - slowness(std::max(0.0, n - w), cpus, speed);
}

}  // namespace omig::cluster
