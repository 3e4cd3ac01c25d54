// SPDX-License-Identifier: Apache-2.0
// Who comes into a node's directory of its cluster (window.h), who is put out, and who has left. Pure.
//
// A node that leaves says so in its last news ("left" beside its entry). Those travel as all others do, and older news
// of it that are still under way somewhere do not bring it back.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "lib/cluster/membership.h"
#include "lib/cluster/window.h"

namespace omig::cluster {

class Doors {
 public:
  explicit Doors(Window& window) : window_(window) {}

  // From now on; who does not belong is forgotten.
  void keep(Membership membership, i64 now_ms);
  const Membership& membership() const { return membership_; }
  bool admits(const NodeEntry& entry) const {
    return cluster::admits(membership_, entry) && !revoked_.contains(entry.identity);
  }
  // Identities that do not belong to the cluster any more, whoever speaks of them. In place of those before.
  void revoke(std::set<std::string> identities, i64 now_ms);

  // {"entry": of the sender, "window": of others}. True if something was news.
  bool take(const nlohmann::json& message, i64 now_ms);
  // The incarnation of news of that very node that count as newer than its own word: it was started anew with its clock
  // set back. 0: there are none.
  u64 later_than(const NodeEntry& word) const;
  // What is worth telling of others: the freshest `most`, and who has left lately.
  nlohmann::json tell(i64 now_ms, size_t most);

 private:
  struct Gone {
    u64 incarnation = 0, seq = 0;  // of its last news; newer ones mean that it is back
    std::string identity;
    i64 produced_ms = 0;
    nlohmann::json entry;
  };
  bool take_entry(const nlohmann::json& item, i64 age_ms, i64 now_ms);
  bool take_farewell(const NodeEntry& entry, i64 age_ms, i64 now_ms);
  template <class Out>
  void put_out(Out out, i64 now_ms);
  const Seen* at(const Endpoint& endpoint) const;

  Window& window_;
  Membership membership_;
  std::map<Endpoint, Gone> gone_;
  std::set<std::string> revoked_;
};

}  // namespace omig::cluster
