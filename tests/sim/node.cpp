// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/node.h"

#include <algorithm>
#include <limits>

namespace omig::sim {

namespace {

bool runs(const Job& j) { return j.state == State::here && !j.held; }

}  // namespace

Node::Node(const Scenario& s, u32 number)
    : id(number), cpus(kCpusPerNode), speed(speed_of(s, number)), total_bytes(memory_of(s)) {}

void Node::advance(std::vector<Job>& jobs, double now_s) {
  const double passed_s = now_s - advanced_s;
  advanced_s = now_s;
  if (passed_s <= 0) return;
  for (const u32 i : here) {
    if (!runs(jobs[i])) continue;
    jobs[i].left_s -= passed_s * jobs[i].rate;
    jobs[i].used_s += passed_s * jobs[i].share;
  }
}

double Node::share_out(std::vector<Job>& jobs, const cluster::Policy& policy) {
  double young = 0, old = 0, bytes = 0;
  const auto is_young = [&](const Job& j) { return policy.young_first && j.used_s < cluster::kYoung_s; };
  for (const u32 i : here) {
    if (!jobs[i].held) bytes += static_cast<double>(jobs[i].work->bytes);
    if (runs(jobs[i])) (is_young(jobs[i]) ? young : old) += 1;
  }
  // Shares in proportion to the weights, but nobody can use more than one CPU.
  const double per_weight = cpus / (cluster::kYoungWeight * young + old);
  double young_share = std::min(1.0, cluster::kYoungWeight * per_weight);
  double old_share = old > 0 ? std::min(1.0, (cpus - young * young_share) / old) : 0;
  const double pace = speed / (bytes > static_cast<double>(total_bytes) ? kPagingSlowdown : 1);
  double next_s = std::numeric_limits<double>::infinity();
  for (const u32 i : here) {
    Job& j = jobs[i];
    if (!runs(j)) continue;
    j.share = is_young(j) ? young_share : old_share;
    j.rate = j.share * pace / (j.work->io && j.work->home != id ? kAwayIoSlowdown : 1);
    next_s = std::min(next_s, std::max(0.0, j.left_s) / j.rate);
    if (is_young(j)) next_s = std::min(next_s, (cluster::kYoung_s - j.used_s) / j.share + 1e-9);
  }
  return next_s;
}

bool Node::review_memory(std::vector<Job>& jobs) {
  std::vector<u32> by_age;
  for (const u32 i : here)
    if (jobs[i].state == State::here) by_age.push_back(i);
  u64 room = total_bytes;
  for (const u32 i : here)  // whoever is moving away is still here with its memory
    if (jobs[i].state == State::moving) room -= std::min(room, jobs[i].work->bytes);
  std::ranges::sort(by_age, {}, [&](u32 i) { return jobs[i].work->at_s; });
  std::vector<u64> bytes;
  for (const u32 i : by_age) bytes.push_back(jobs[i].work->bytes);
  const std::vector<bool> run = cluster::may_run(bytes, room);
  held_any = false;
  for (size_t k = 0; k < by_age.size(); ++k) {
    jobs[by_age[k]].held = !run[k];
    held_any = held_any || !run[k];
  }
  return held_any;
}

NodeLoad Node::load(const std::vector<Job>& jobs, double now_s) {
  NodeLoad l;
  l.id = id;
  l.incarnation = incarnation;
  l.seq = ++seq;
  l.cpus = cpus;
  l.speed = speed;
  l.told = average.told();
  l.coming = starts.per_s(static_cast<i64>(now_s * 1000), cluster::DecayKind::fast, {});
  l.total_bytes = total_bytes;
  double used = 0;
  for (const u32 i : here) {
    const Job& j = jobs[i];
    if (!j.held) used += static_cast<double>(j.work->bytes);
    if (j.booked || j.state == State::moving) continue;  // on its way out: no longer our load
    (j.held ? l.held : l.runnable) += 1;
  }
  l.held += static_cast<double>(waiting.size());
  std::erase_if(promises, [&](const Promise& p) { return p.until_s < now_s; });
  for (const Promise& p : promises) {
    l.reserved += p.demand;
    used += static_cast<double>(p.bytes);
  }
  const double left = static_cast<double>(total_bytes) - used;
  l.free_bytes = left > 0 ? static_cast<u64>(left) : 0;
  return l;
}

bool Node::promised(u32 job) const { return std::ranges::find(promises, job, &Promise::job) != promises.end(); }

void Node::keep_place(const cluster::MoveDecision& offer, u32 job, double until_s) {
  drop_place(job);
  promises.push_back({job, offer.demand, offer.rss_bytes, until_s});
}

void Node::drop_place(u32 job) {
  std::erase_if(promises, [&](const Promise& p) { return p.job == job; });
}

}  // namespace omig::sim
