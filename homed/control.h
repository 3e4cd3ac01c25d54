// SPDX-License-Identifier: Apache-2.0
// The doors for this node's own users: homed.sock (one JSON line asked, JSON lines answered; docs/JSON.md) and
// announce.sock (libomig's constructor says that a process is there).
#pragma once

#include <map>
#include <string>

#include "homed/members.h"
#include "homed/moves.h"
#include "homed/peers.h"
#include "homed/starts.h"

namespace omig {

class Control {
 public:
  Control(Daemon& daemon, Moves& moves, Peers& peers, Members& members, Starts& starts);
  ~Control();

  void start();

 private:
  using Local = asio::local::stream_protocol;

  awaitable<void> listen();
  awaitable<void> serve(Local::socket socket);
  awaitable<Json> answer(Local::socket& socket, const Json& request, const Asker& asker);
  awaitable<Json> place(Local::socket& socket, const Json& request, const Asker& asker);
  awaitable<MoveResult> send_started(pid_t pid, std::string to, Asker asker, i64 give_up_ms);
  awaitable<void> keep_placement(pid_t pid, std::string to, Asker asker, i64 until_ms);
  void follow_lock(pid_t pid);
  awaitable<void> send_to_its_lock(pid_t pid, std::string node);
  awaitable<void> look_for(pid_t pid);
  Json ping();
  Json nodes();
  awaitable<Json> ps();
  Json processes(const std::map<pid_t, u64>& away);
  awaitable<std::map<pid_t, u64>> cpu_away();
  Json where(i32 pid);
  Json reasons(i32 pid, const Asker& asker);
  awaitable<Json> why(i32 pid, const Asker& asker);
  Json choose_policy(const Json& request, const Asker& asker);
  awaitable<void> hear_announcements();

  Daemon& d_;
  Moves& moves_;
  Peers& peers_;
  Members& members_;
  Starts& starts_;
  Local::acceptor acceptor_;
  asio::local::datagram_protocol::socket announcements_;
  asio::steady_timer announced_;  // cancelled at every announcement
};

}  // namespace omig
