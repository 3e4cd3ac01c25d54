// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/scenario.h"

#include <algorithm>
#include <cmath>
#include <queue>

#include "lib/cluster/seed.h"

namespace omig::sim {

using cluster::Chance;

namespace {

constexpr double kShortest_s = 0.5, kLongest_s = 200;
constexpr double kTail = 1.07463;  // with these bounds: a mean of 2.6 s
constexpr double kMeanDemand_s = 2.6;
constexpr double kLeastBytes = 0.2e9, kMostBytes = 3e9;
constexpr double kMeanBytes = 1.034e9;
constexpr double kTightBytes = 6e9, kPlentyBytes = 64e9;
constexpr u32 kChildren = 12;
constexpr double kForkEvery_s = 0.02;
constexpr double kFirst_s = 10;  // the processes of a cluster that has been running already come within this time

double draw_demand(Chance& chance) {
  const double low = std::pow(kShortest_s, -kTail), high = std::pow(kLongest_s, -kTail);
  return std::pow(low - chance.unit() * (low - high), -1 / kTail);
}

// Of a process met at a random moment: long ones are met in proportion to their length, anywhere in their life.
double draw_residual(Chance& chance) {
  for (;;) {
    const double whole_s = draw_demand(chance);
    if (chance.unit() * kLongest_s < whole_s) return std::max(1e-3, whole_s * chance.unit());
  }
}

u32 draw_home(Chance& chance, u32 nodes) {
  const u32 quarter = std::max(1u, nodes / 4);
  if (chance.unit() < 0.5) return 1 + chance.below(quarter);
  return 1 + quarter + chance.below(nodes - quarter);
}

Work draw_work(const Scenario& s, Chance& chance, double at_s, u32 home, double demand_s) {
  Work w{at_s, home, demand_s};
  w.bytes = static_cast<u64>(kLeastBytes * std::pow(kMostBytes / kLeastBytes, chance.unit()));
  w.io = chance.unit() < s.io;
  w.known = chance.unit() < s.history;
  w.believed_bytes = w.known ? w.bytes : static_cast<u64>(kMeanBytes);
  return w;
}

}  // namespace

double speed_of(const Scenario& s, u32 node) {
  if (!s.mixed) return 1;
  constexpr double kSpeeds[] = {1, 0.5, 0.25};
  return kSpeeds[node % 3];
}

u64 memory_of(const Scenario& s) { return static_cast<u64>(s.tight ? kTightBytes : kPlentyBytes); }

std::vector<Work> draw(const Scenario& s) {
  Chance chance(cluster::mix(s.seed));
  std::vector<Work> trace;
  double capacity = 0;
  for (u32 n = 1; n <= s.nodes; ++n) capacity += kCpusPerNode * speed_of(s, n);
  if (s.all_on_one) {
    const u32 count = static_cast<u32>(s.load * kCpusPerNode * s.nodes);
    for (u32 i = 0; i < count; ++i) {
      trace.push_back(draw_work(s, chance, 1e-3 * i / count, 1, 1e6));
      trace.back().bytes /= 10;  // small ones: the question is how fast the decisions come, not how fast the network is
      trace.back().io = false;
    }
    return trace;
  }
  const u32 first = static_cast<u32>(s.load * capacity);
  for (u32 i = 0; i < first; ++i)
    trace.push_back(draw_work(s, chance, kFirst_s * chance.unit(), draw_home(chance, s.nodes), draw_residual(chance)));
  const double per_s = s.load * capacity / kMeanDemand_s;
  for (double t = 0; t < s.time_s;) {
    // A tree's children count as one arrival of so much work.
    const bool tree = chance.unit() * (s.trees + (1 - s.trees) * kChildren) < s.trees;
    t -= std::log(1 - chance.unit()) / per_s / (s.trees / kChildren + 1 - s.trees);
    const u32 home = draw_home(chance, s.nodes);
    for (u32 i = 0; i < (tree ? kChildren : 1); ++i)
      trace.push_back(draw_work(s, chance, t + i * kForkEvery_s, home, draw_demand(chance)));
  }
  std::ranges::sort(trace, {}, &Work::at_s);
  return trace;
}

std::vector<double> pooled_slowdowns(const Scenario& s, const std::vector<Work>& trace) {
  std::vector<double> speeds;
  for (u32 n = 1; n <= s.nodes; ++n) speeds.insert(speeds.end(), static_cast<size_t>(kCpusPerNode), speed_of(s, n));
  std::ranges::sort(speeds, std::ranges::greater{});
  std::vector<double> total(1, 0.0);  // of the k fastest
  for (const double speed : speeds) total.push_back(total.back() + speed);

  std::vector<double> slowdowns(trace.size());
  // Everybody has got `served` since the start; who arrived when that was x leaves when it is x + demand.
  using Leaving = std::pair<double, size_t>;
  std::priority_queue<Leaving, std::vector<Leaving>, std::greater<>> present;
  double now = 0, served = 0;
  const auto rate = [&] {
    const size_t n = present.size();
    return total[std::min(n, speeds.size())] / static_cast<double>(n);
  };
  const auto run_until = [&](double until) {
    while (!present.empty()) {
      const double leaves = now + (present.top().first - served) / rate();
      if (leaves > until) break;
      served = present.top().first;
      now = leaves;
      const size_t i = present.top().second;
      slowdowns[i] = (now - trace[i].at_s) / trace[i].demand_s;
      present.pop();
    }
    if (!present.empty() && until < 1e300) served += (until - now) * rate();
    now = until;
  };
  for (size_t i = 0; i < trace.size(); ++i) {
    run_until(trace[i].at_s);
    present.emplace(served + trace[i].demand_s, i);
  }
  run_until(1e301);
  return slowdowns;
}

}  // namespace omig::sim
