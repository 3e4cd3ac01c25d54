// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/programs.h"

#include <algorithm>

namespace omig::cluster {

namespace {

constexpr double kNewest = 0.3;      // weight of the newest run
constexpr double kShortest_ms = 60;  // three moves of a small program, on CPUs like the reference
constexpr double kIdler = 0.1;       // who uses less of its life than this, and not much at all, does not want a CPU
constexpr double kIdlerCpu_ms = 50;
constexpr double kLeastDemand = 0.3;  // below it a program mostly waits for others: a shell, a driver of compilers
constexpr u32 kSure = 2;              // runs
constexpr u64 kUnknownBytes = 32 << 20;
constexpr double kHorizon_s = 4;  // of NodeLoad::coming

void mix_in(double& mean, double value, u32 runs) { mean += std::max(kNewest, 1.0 / (runs + 1)) * (value - mean); }

}  // namespace

void Programs::ended(const std::string& name, const Program& run, i64 now_ms) {
  if (!known_.contains(name) && known_.size() >= most_)
    known_.erase(std::ranges::min_element(known_, {}, [](const auto& k) { return k.second.used_ms; }));
  auto& [p, used_ms] = known_[name];
  used_ms = now_ms;
  mix_in(p.life_ms, run.life_ms, p.runs);
  mix_in(p.cpu_ms, run.cpu_ms, p.runs);
  // On a crowded node everybody looks busy while it waits its turn to be loaded.
  const bool idler = run.cpu_ms < kIdlerCpu_ms && run.cpu_ms < kIdler * run.life_ms;
  mix_in(p.demand, idler ? run.cpu_ms / run.life_ms : run.demand, p.runs);
  mix_in(p.calls_per_s, run.calls_per_s, p.runs);
  mix_in(p.bytes_per_s, run.bytes_per_s, p.runs);
  mix_in(p.rss_bytes, run.rss_bytes, p.runs);
  ++p.runs;
}

const Program* Programs::find(const std::string& name) const {
  const auto it = known_.find(name);
  return it == known_.end() ? nullptr : &it->second.program;
}

bool waits_mostly(const Program* p) { return p != nullptr && p->runs >= kSure && p->demand < kLeastDemand; }

StartWish start_wish(const Program* p) {
  if (p == nullptr || p->runs < kSure) return StartWish::after_a_while;
  return p->cpu_ms < kShortest_ms || waits_mostly(p) ? StartWish::never : StartWish::at_once;
}

Candidate start_candidate(const Program* p, i32 pid, u32 home_id) {
  Candidate c;
  c.pid = pid;
  c.home_id = home_id;
  c.started = false;
  c.calls_known = p != nullptr;
  c.demand = p == nullptr ? 1 : std::clamp(p->demand, 0.5, 64.0);
  c.calls_per_s = p == nullptr ? 0 : p->calls_per_s;
  c.bytes_per_s = p == nullptr ? 0 : p->bytes_per_s;
  c.rss_bytes = p == nullptr ? kUnknownBytes : static_cast<u64>(p->rss_bytes);
  return c;
}

double coming_weight(const Program* p) {
  return p == nullptr ? 0 : std::min(1.0, p->life_ms / 1000 / kHorizon_s) * std::min(1.0, p->demand);
}

}  // namespace omig::cluster
