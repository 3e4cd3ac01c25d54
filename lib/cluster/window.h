// SPDX-License-Identifier: Apache-2.0
// The directory of the cluster: every node's name and address with the freshest news of it (gossip.h), and how it
// travels as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/types.h"
#include "lib/cluster/gossip.h"
#include "lib/cluster/load.h"
#include "lib/link/peer.h"
#include "lib/wire/versions.h"

namespace omig::cluster {

inline constexpr size_t kMaxWindow = 4096;  // nodes; beyond it the stalest make room

struct NodeEntry : NodeLoad {
  std::string name;
  Endpoint endpoint;
  wire::Versions versions{0, 0};  // that it speaks
  u32 guests = 0;
  u32 away = 0;          // its own processes that are elsewhere
  bool quiet = false;    // says nothing of its load
  std::string identity;  // its fingerprint (lib/link/identity.h)
};

nlohmann::json to_json(const NodeEntry& entry);
// Nothing if a field is missing, of a wrong type or out of range.
std::optional<NodeEntry> entry_from_json(const nlohmann::json& json);

using Seen = Heard<NodeEntry>;

class Window {
 public:
  // The living node whose number or name a newcomer would take; nullptr: none. The first to have them keeps them.
  const NodeEntry* conflict(const NodeEntry& entry, i64 now_ms) const;
  // True if it was news: a new node, or a newer entry. An entry in conflict is not taken.
  bool merge(const NodeEntry& entry, i64 age_ms, i64 now_ms);
  // The whole window as sent in gossip, and its inverse. Returns the ids that were news.
  nlohmann::json to_json(i64 now_ms, size_t max_entries) const;
  std::vector<u32> merge_json(const nlohmann::json& json, i64 now_ms, u32 except_id);
  void forget_old(i64 now_ms) { news_.forget_old(now_ms); }
  // It did not answer: no decision counts on it until there is newer news of it.
  void suspect(u32 id) { news_.suspect(id); }

  const Seen* find(u32 id) const { return news_.find(id); }
  const Seen* find(const std::string& name_or_id) const;
  const Gossip<NodeEntry>::Known& all() const { return news_.all(); }

 private:
  Gossip<NodeEntry> news_{kMaxWindow};
};

}  // namespace omig::cluster
