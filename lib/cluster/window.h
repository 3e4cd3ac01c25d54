// SPDX-License-Identifier: Apache-2.0
// What a node knows about the others: the freshest entry of each, and how old it is. Pure: time comes from the caller.
//
// Clocks of different nodes are never compared. An entry travels with its age; the receiver subtracts that from its own
// monotonic clock. Which of two entries of one node is newer is told by (incarnation, seq), both made by that node.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/types.h"
#include "lib/link/peer.h"

namespace omig::cluster {

inline constexpr i64 kAliveFor_ms = 10'000;  // no news for longer: taken as dead (virtual machines stand still for seconds)
inline constexpr i64 kForgetAfter_ms = 600'000;
inline constexpr size_t kMaxWindow = 4096;  // nodes; beyond it newcomers are not kept

struct NodeEntry {
  u32 id = 0;
  std::string name;
  Endpoint endpoint;
  u32 version = 0;      // wire::kVersion of that node
  u64 incarnation = 0;  // when its daemon started, its own clock: a restarted node's news count as newer
  u64 seq = 0;
  double cpus = 1;      // fractional: a CPU quota counts
  double speed = 1;     // of one CPU; 1 = the reference
  double runnable = 0;  // threads that want to run there
  double reserved = 0;  // threads that are on their way there
  u64 free_bytes = 0;
  u64 total_bytes = 0;
  u32 guests = 0;
  u32 away = 0;         // its own processes that are elsewhere
  bool accepts = true;  // takes guests that the scheduler sends

  double load() const { return runnable + reserved; }
};

nlohmann::json to_json(const NodeEntry& entry);
// Nothing if a field is missing, of a wrong type or out of range.
std::optional<NodeEntry> entry_from_json(const nlohmann::json& json);

struct Seen {
  NodeEntry entry;
  i64 produced_ms = 0;  // on our monotonic clock

  bool alive(i64 now_ms) const { return now_ms - produced_ms <= kAliveFor_ms; }
};

class Window {
 public:
  // The living node whose number or name a newcomer would take; nullptr: none. The first to have them keeps them.
  const NodeEntry* conflict(const NodeEntry& entry, i64 now_ms) const;
  // True if it was news: a new node, or a newer entry. An entry in conflict is not taken.
  bool merge(const NodeEntry& entry, i64 age_ms, i64 now_ms);
  // The whole window as sent in gossip, and its inverse. Returns the ids that were news.
  nlohmann::json to_json(i64 now_ms, size_t max_entries) const;
  std::vector<u32> merge_json(const nlohmann::json& json, i64 now_ms, u32 except_id);
  void forget_old(i64 now_ms);

  const Seen* find(u32 id) const;
  const Seen* find(const std::string& name_or_id) const;
  const std::map<u32, Seen>& all() const { return nodes_; }

 private:
  std::map<u32, Seen> nodes_;
};

}  // namespace omig::cluster
