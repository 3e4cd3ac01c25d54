// SPDX-License-Identifier: Apache-2.0
// The gossip that keeps a cluster informed without a master: each second every node tells one random other its own
// entry and the freshest of what it has heard. Pure: time comes from the caller.
//
// An entry's news spreads like a rumour: after T steps about N e^(NT/(N-1)) / (N-1+e^(NT/(N-1))) nodes have it. Read
// the other way round, that is how many nodes' news of age at most T a node holds; so the 60 freshest of a thousand are
// about ln 60 = 4 steps old at most, and that does not change with N.
//
// Clocks of different nodes are never compared. An entry travels with its age; the receiver subtracts that from its own
// monotonic clock. Which of two entries of one node is newer is told by (incarnation, seq), both made by that node.
#pragma once

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "lib/base/types.h"

namespace omig::cluster {

// No news for longer: taken as dead (virtual machines stand still for seconds).
inline constexpr i64 kAliveFor_ms = 10'000;
inline constexpr i64 kForgetAfter_ms = 600'000;
// Entries sent at once, and all that a large cluster's node need keep; up to 16 nodes that is the whole vector, and
// everybody talks to everybody.
inline constexpr size_t kWindow = 60;
inline constexpr size_t kWholeVector = 16;

// `Entry` has id, incarnation and seq: NodeEntry in the daemon, NodeLoad in the simulator.
template <class Entry>
struct Heard {
  Entry entry;
  i64 produced_ms = 0;     // on our monotonic clock
  bool suspected = false;  // it did not answer us since; only newer news clear it

  bool alive(i64 now_ms) const { return !suspected && now_ms - produced_ms <= kAliveFor_ms; }
};

template <class Entry>
class Gossip {
 public:
  using Known = std::vector<std::pair<u32, Heard<Entry>>>;  // by id

  explicit Gossip(size_t capacity) : capacity_(capacity) {}

  // True if it was news: a new node, or a newer entry. When full, the stalest makes room for something fresher.
  bool merge(const Entry& entry, i64 age_ms, i64 now_ms) {
    const i64 produced_ms = now_ms - std::max<i64>(age_ms, 0);
    auto at = place_of(entry.id);
    if (at != known_.end() && at->first == entry.id) {
      const Entry& old = at->second.entry;
      if (std::tie(entry.incarnation, entry.seq) <= std::tie(old.incarnation, old.seq)) return false;
      at->second = {entry, produced_ms};
      return true;
    }
    if (known_.size() >= capacity_) {
      const auto stalest = std::ranges::min_element(known_, {}, [](const auto& k) { return k.second.produced_ms; });
      if (stalest == known_.end() || stalest->second.produced_ms >= produced_ms) return false;
      known_.erase(stalest);
      at = place_of(entry.id);
    }
    known_.insert(at, {entry.id, Heard<Entry>{entry, produced_ms}});
    return true;
  }

  // What is worth telling, freshest first. A node whose news are older than kAliveFor_ms is told of, too: its age says
  // so, and that is how its death gets around. A mere suspicion of ours is not passed on.
  std::vector<const Heard<Entry>*> freshest(size_t most) const {
    std::vector<const Heard<Entry>*> list;
    list.reserve(known_.size());
    for (const auto& [id, heard] : known_) list.push_back(&heard);
    const auto fresher = [](const Heard<Entry>* a, const Heard<Entry>* b) { return a->produced_ms > b->produced_ms; };
    if (list.size() > most) {
      std::ranges::nth_element(list, list.begin() + static_cast<std::ptrdiff_t>(most), fresher);
      list.resize(most);
    }
    std::ranges::sort(list, fresher);
    return list;
  }

  void suspect(u32 id) {
    if (Heard<Entry>* heard = find(id)) heard->suspected = true;
  }
  void forget_old(i64 now_ms) {
    std::erase_if(known_, [&](const auto& k) { return now_ms - k.second.produced_ms > kForgetAfter_ms; });
  }

  const Heard<Entry>* find(u32 id) const { return const_cast<Gossip*>(this)->find(id); }
  // For what we did to that node ourselves since its news were made (a process sent there counts before it says so).
  Heard<Entry>* find(u32 id) {
    const auto at = place_of(id);
    return at != known_.end() && at->first == id ? &at->second : nullptr;
  }
  const Known& all() const { return known_; }

 private:
  typename Known::iterator place_of(u32 id) {
    return std::ranges::lower_bound(known_, id, {}, &Known::value_type::first);
  }

  size_t capacity_;
  Known known_;
};

// How many of n nodes have heard an entry t steps after it was made.
double gossip_reach(double n, double t);

}  // namespace omig::cluster
