// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace omig::sim {

namespace {

constexpr double kShort_s = 2, kLong_s = 20;

double mean_of(const std::vector<double>& values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double p99_of(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(0.99 * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, at);
  return *at;
}

std::string cell(const std::vector<Measured>& runs) {
  // Where one seed collapsed, an average of the others would flatter.
  if (std::ranges::any_of(runs, &Measured::diverged)) return "diverges";
  std::vector<double> mean, p99;
  for (const Measured& m : runs) {
    mean.push_back(m.mean);
    p99.push_back(m.p99);
  }
  const Estimate e = estimate(mean), tail = estimate(p99);
  return e.mean >= 10 ? fmt::format("{:.0f} ±{:.0f} ({:.0f})", e.mean, e.half_width, tail.mean)
                      : fmt::format("{:.2f} ±{:.2f} ({:.1f})", e.mean, e.half_width, tail.mean);
}

}  // namespace

Measured measure(const Scenario& s, const cluster::Policy& policy, const std::vector<Work>& trace,
                 const std::vector<double>& bound) {
  const Outcome run = simulate(s, policy, trace);
  std::vector<double> ours, best, short_ours, short_best, long_ours, long_best;
  for (size_t i = 0; i < trace.size(); ++i) {
    if (trace[i].at_s < s.warm_s || run.slowdowns[i] == 0) continue;
    ours.push_back(run.slowdowns[i]);
    best.push_back(bound[i]);
    if (trace[i].demand_s < kShort_s) {
      short_ours.push_back(run.slowdowns[i]);
      short_best.push_back(bound[i]);
    } else if (trace[i].demand_s > kLong_s) {
      long_ours.push_back(run.slowdowns[i]);
      long_best.push_back(bound[i]);
    }
  }
  const double processes = static_cast<double>(trace.size());
  const double node_seconds = std::max<double>(1, static_cast<double>(run.counts.ticks));
  Measured m;
  m.mean = mean_of(ours) / mean_of(best);
  m.p99 = p99_of(ours) / p99_of(best);
  m.short_mean = mean_of(short_ours) / mean_of(short_best);
  m.long_mean = mean_of(long_ours) / mean_of(long_best);
  m.moves = static_cast<double>(run.counts.moves) / processes;
  m.starts_away = static_cast<double>(run.counts.starts_away) / processes;
  m.messages_per_s = static_cast<double>(run.counts.asking) / node_seconds;
  m.gossip_per_s = static_cast<double>(run.counts.gossip) / node_seconds;
  m.decision_us =
      1e-3 * static_cast<double>(run.counts.decision_ns) / static_cast<double>(std::max<u64>(1, run.counts.decisions));
  m.news_age_s = run.counts.news_age_s / node_seconds;
  m.lost = static_cast<double>(run.counts.lost_processes) / processes;
  m.diverged = run.diverged;
  return m;
}

Measured measure(const Scenario& s, const cluster::Policy& policy) {
  const std::vector<Work> trace = draw(s);
  return measure(s, policy, trace, pooled_slowdowns(s, trace));
}

Estimate estimate(std::span<const double> values) {
  const double n = static_cast<double>(values.size());
  Estimate e;
  for (const double v : values) e.mean += v / n;
  if (values.size() < 2) return e;
  double squares = 0;
  for (const double v : values) squares += (v - e.mean) * (v - e.mean);
  constexpr std::array kStudent{12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26};  // 97.5%, by n - 1
  const double t = values.size() - 2 < kStudent.size() ? kStudent[values.size() - 2] : 2.1;
  e.half_width = t * std::sqrt(squares / (n - 1) / n);
  return e;
}

std::string markdown_table(Scenario s, std::span<const double> loads, std::span<const cluster::Policy> policies,
                           u32 seeds) {
  std::string text = "| load |";
  for (const auto& policy : policies) text += fmt::format(" {} |", policy.name);
  text += "\n|---|";
  for (size_t i = 0; i < policies.size(); ++i) text += "---|";
  text += '\n';
  const u64 first_seed = s.seed;
  for (const double load : loads) {
    s.load = load;
    std::vector<std::vector<Measured>> runs(policies.size());
    for (u32 k = 0; k < seeds; ++k) {
      s.seed = first_seed + k;
      const std::vector<Work> trace = draw(s);
      const std::vector<double> bound = pooled_slowdowns(s, trace);
      for (size_t i = 0; i < policies.size(); ++i) runs[i].push_back(measure(s, policies[i], trace, bound));
    }
    text += fmt::format("| {:.2f} |", load);
    for (const auto& column : runs) text += fmt::format(" {} |", cell(column));
    text += '\n';
  }
  return text;
}

}  // namespace omig::sim
