// SPDX-License-Identifier: Apache-2.0
// Carrying out moves. homed itself touches no process: omig-host departs, the guest's host moves it on or home, and
// both leave the process running where it was if anything fails, homed's own death included.
#pragma once

#include <string>

#include "homed/daemon.h"

namespace omig {

struct MoveResult {
  bool ok = false;
  std::string reason;             // if not
  std::string node;               // where the process is now
  Json figures = Json::object();  // freeze_ms, total_ms, bytes, as far as known
  const char* code = "";          // if not ok: the kind of reason, for programs (docs/JSON.md)

  bool busy() const;  // it may be different in a moment
  Json to_json() const;
};

class Moves {
 public:
  explicit Moves(Daemon& daemon) : d_(daemon) {}

  // `where` is a node's name or id, "home" or "balance". Waits until it is done.
  awaitable<MoveResult> migrate(i32 pid, std::string where, Asker asker);
  // Could it go to that other node now? `where` is a name or an id.
  MoveResult reachable(const std::string& where) const;
  void lock_follows(cluster::Job& job, const std::string& node) const;  // it was sent there
  // As decided by the scheduler, after the target has agreed.
  awaitable<MoveResult> carry_out(VisitorKey process, cluster::Seen target);
  // Home, a process of ours or a guest, after whatever move it is in.
  awaitable<MoveResult> send_home(VisitorKey process);
  // One request to another homed; nothing: no answer.
  awaitable<std::optional<Json>> ask(u32 node_id, Json request);
  // Asks the target for a place; merges its fresh entry into the window either way. Empty: it is reserved; else why
  // not.
  awaitable<std::string> reserve(cluster::MoveDecision decision, std::string home_name);
  // Sees that the host of an away process knows that it was stopped at home, if it still is.
  awaitable<void> tell_stop(pid_t pid, HostAddress host);
  awaitable<void> tell_scheduling(pid_t pid, HostAddress host, std::map<pid_t, Scheduling> threads);
  awaitable<void> tell_directed(pid_t pid, HostAddress host, DirectedSignals pending);

 private:
  awaitable<MoveResult> move_local(pid_t pid, const cluster::Seen* target);  // nullptr: home
  awaitable<MoveResult> depart(pid_t pid, cluster::NodeEntry target, cluster::Job job);
  awaitable<Json> admission(cluster::NodeEntry target, Json request, MoveResult* refusal);
  awaitable<u64> guest_bytes(HostAddress host, i32 pid);
  awaitable<MoveResult> command(const HostAddress& host, VisitorKey key, const cluster::NodeEntry* target,
                                std::string host_node);
  awaitable<MoveResult> move_visitor(VisitorKey key, const cluster::Seen* target);
  awaitable<bool> wait_until_idle(VisitorKey key);
  MoveResult check_arrival(pid_t pid, const std::string& node, MoveResult result);
  u32 id_of(const std::string& node) const;  // 0: not known here
  void measure(u32 node, const MoveResult& result);
  void note(VisitorKey key, const MoveResult& result);

  Daemon& d_;
};

}  // namespace omig
