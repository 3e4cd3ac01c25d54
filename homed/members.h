// SPDX-License-Identifier: Apache-2.0
// Live changes of the cluster: a map is loaded, a node joins or leaves. All of it is in two steps: whatever may be
// wrong is found first (the map, the new address, the state directory), then everything changes at once. What was said
// last is kept in DIR/membership.json and outlives homed.
#pragma once

#include <map>
#include <set>
#include <string>

#include "homed/emptying.h"
#include "homed/peers.h"

namespace omig {

// This machine's addresses that a map may name: that of --listen if it was given, else all.
std::vector<u32> addresses_to_find(const Endpoint& listen, bool given);

// What an earlier homed was told while it ran counts more than the command line. A file that cannot be understood is
// logged and not used.
cluster::Membership kept_membership(const std::string& state_dir, cluster::Membership by_command_line);

class Members {
 public:
  Members(Daemon& daemon, Moves& moves, Peers& peers, bool listen_given)
      : d_(daemon), moves_(moves), peers_(peers), listen_given_(listen_given) {}

  // Processes go home for a change; until it is made, nothing may leave or come.
  bool emptying() const { return emptying_; }

  // {"op":"map"}: {"ok","form","id","address","map"}; `map` only if it goes by one.
  Json tell() const;

  // The others: root and homed's user may; one at a time.
  // {"op":"load_map","map":TEXT,"name":WHAT IT IS CALLED,"force":BOOL,"only_idle":BOOL}: from now on the cluster is
  // what TEXT says. A process or guest that it would cut off, or (only_idle) any that is away, is a refusal, or goes
  // home first (force).
  awaitable<Json> load_map(Listener& listener, Json request, uid_t asker);
  // {"op":"leave","force":BOOL}: out of the cluster; what is away or here goes home first (force) or is a refusal.
  awaitable<Json> leave(Listener& listener, Json request, uid_t asker);
  // {"op":"join","member":"A.B.C.D:PORT","discovered":BOOL}: among the nodes of that one's cluster, which is ours.
  // {"op":"join","token":TEXT}: gets a certificate of the cluster that the token invites to, and joins its node.
  awaitable<Json> join(Json request, uid_t asker);

  // {"op":"cluster"}: {"ok","node","identity","cluster","founder","authority","revoked"}: fingerprints; authority: this
  // node admits and revokes.
  Json identity() const;
  // {"op":"found"}: a new cluster, of this node alone.
  awaitable<Json> found(uid_t asker);
  // {"op":"invite","seconds":N,"uses":N}: {"ok","token"}.
  Json invite(const Json& request, uid_t asker);
  // {"op":"revoke","node":NAME, number or fingerprint}: it is thrown out of the cluster, everywhere.
  Json revoke(const Json& request, uid_t asker);
  void note_revoked();  // before they are forgotten: for Peers::on_revoked
  // Brings home what is on a revoked node, and sends home what is from there.
  void part_from_revoked();

 private:
  struct Change;
  std::string what_holds(const cluster::Membership& wanted, bool only_idle) const;
  awaitable<void> settle();
  awaitable<Json> go_home(Listener& listener);
  std::string keep(const cluster::Membership& wanted);
  Json adopt(const cluster::Membership& wanted);
  std::string why_not_another_cluster() const;
  awaitable<Json> enroll(std::string token, Endpoint* member);
  awaitable<void> send_home(VisitorKey key, std::string node);

  Daemon& d_;
  Moves& moves_;
  Peers& peers_;
  bool listen_given_;
  bool changing_ = false, emptying_ = false;
  std::set<std::string> thrown_out_;  // names of revoked nodes
  std::map<VisitorKey, i64> parting_since_ms_;
};

}  // namespace omig
