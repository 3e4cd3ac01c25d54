// SPDX-License-Identifier: Apache-2.0
#include "homed/usher.h"

#include <algorithm>

#include "homed/node.h"
#include "homed/scheduler.h"

namespace omig {

namespace {

constexpr u64 kWorthIt = 4 << 20;  // smaller ones bring nothing
constexpr size_t kMostLeaving = 4;
constexpr i64 kBarAfterNoPlace_ms = 2'000;

}  // namespace

void Usher::review() {
  if (!d_.config.balance || !d_.config.policy->hold) return;
  const Memory memory = memory_now();
  u64 leaving = 0;
  for (const auto& [key, bytes] : leaving_) leaving += bytes;
  const double stalled = memory.has_psi ? memory.stalled : refaults_.stalled(memory.refaults, now_ms());
  const u64 deficit = watch_.deficit(memory.free_bytes + leaving, memory.total_bytes, stalled, now_ms());
  if (deficit == 0) helpless_ = false;
  if (deficit == 0 || leaving_.size() >= kMostLeaving) return;
  cluster::PlacementState state = placement_state(d_);
  std::erase_if(state.running, [](const cluster::Candidate& c) { return c.rss_bytes < kWorthIt; });
  const auto targets = cluster::usher(state, deficit, d_.entry_seq);
  const std::string reason =
      fmt::format("memory: {} MiB free of {} MiB, stalled {:.0f}% of the time, {} MiB have to go",
                  memory.free_bytes >> 20, memory.total_bytes >> 20, 100 * stalled, deficit >> 20);
  if (targets.empty()) {
    if (!helpless_ && leaving_.empty()) log("usher: {}, but there is none that could go, or no node for it", reason);
    helpless_ = true;
    return;
  }
  VisitorKey key{d_.config.name, targets.front().pid};
  if (targets.front().home_id != d_.config.id) key.home = node_name(d_, targets.front().home_id);
  leaving_[key] = targets.front().rss_bytes;
  spawn(d_, fmt::format("ushering {} of {}", key.pid, key.home), carry_out(targets, key, reason));
}

awaitable<void> Usher::carry_out(std::vector<cluster::MoveDecision> targets, VisitorKey key, std::string reason) {
  struct Leaving {
    std::map<VisitorKey, u64>& all;
    VisitorKey key;
    ~Leaving() { all.erase(key); }
  } const leaving{leaving_, key};
  for (const cluster::MoveDecision& decision : targets) {
    MoveRecord record =
        record_of(d_, decision, key, "usher", fmt::format("{}; it has {} MiB", reason, decision.rss_bytes >> 20));
    d_.moving[key] = now_ms();
    record.outcome = co_await moves_.reserve(decision, key.home);
    d_.moving.erase(key);
    const cluster::Seen* target = d_.window.find(decision.target_id);
    if (!record.outcome.empty() || target == nullptr) {
      d_.history.add(std::move(record));
      continue;
    }
    const cluster::Seen to = *target;
    const MoveResult result = co_await moves_.carry_out(key, to);
    d_.history.add(concluded(std::move(record), result));
    co_return;  // one that could not be moved is barred for a while: another one's turn
  }
  bar(d_, key, now_ms() + kBarAfterNoPlace_ms);
}

}  // namespace omig
