// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/rumour.h"

#include <numeric>

#include "lib/cluster/gossip.h"
#include "lib/cluster/seed.h"

namespace omig::sim {

namespace {

constexpr i64 kStep_ms = 1'000'000;  // fine enough for every node to have its own moment in each step
constexpr u32 kWarmSteps = 12;

struct Rumour {
  u32 id = 0;
  u64 incarnation = 1, seq = 0;
};

}  // namespace

Reach spread_rumours(u32 nodes, u32 window, u32 steps, u64 seed) {
  cluster::Chance chance(cluster::mix(seed));
  std::vector<u32> order(nodes);  // who speaks when in a step, the same in each
  std::iota(order.begin(), order.end(), 0);
  for (u32 i = nodes - 1; i > 0; --i) std::swap(order[i], order[chance.below(i + 1)]);
  std::vector<cluster::Gossip<Rumour>> heard(nodes, cluster::Gossip<Rumour>(window));

  Reach reach;
  reach.reached.assign(steps, 0);
  const auto moment = [&](u32 step, u32 place) { return step * kStep_ms + i64{place} * kStep_ms / nodes; };
  for (u32 step = 1; step <= kWarmSteps + steps; ++step) {
    for (u32 place = 0; place < nodes; ++place) {
      const u32 from = order[place];
      const i64 now = moment(step, place);
      const u32 other = chance.below(nodes - 1), to = other >= from ? other + 1 : other;
      heard[to].merge({from + 1, 1, step}, 0, now);
      for (const auto* h : heard[from].freshest(window - 1))
        if (h->entry.id != to + 1) heard[to].merge(h->entry, now - h->produced_ms, now);
    }
  }
  // Now everybody's last news is of the last step; those of T steps ago are T steps old when their maker speaks next.
  const u32 last = kWarmSteps + steps;
  const i64 end = moment(last + 1, 0);
  double entries = 0;
  for (const auto& h : heard) {
    for (const auto& [id, news] : h.all()) {
      reach.mean_age_steps += static_cast<double>(end - news.produced_ms) / static_cast<double>(kStep_ms);
      entries += 1;
      // Age by the maker's own clock of steps: news made at its turn in step s are last + 1 - s steps old at its next.
      for (u32 t = static_cast<u32>(last - news.entry.seq); t < steps; ++t) reach.reached[t] += 1;
    }
  }
  reach.mean_age_steps /= entries;
  for (double& r : reach.reached) r = 1 + r / nodes;
  return reach;
}

}  // namespace omig::sim
