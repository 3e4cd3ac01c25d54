// SPDX-License-Identifier: Apache-2.0
// The doors for this node's own users: homed.sock (one JSON line asked, JSON lines answered; docs/JSON.md) and
// announce.sock (libomig's constructor says that a process is there).
#pragma once

#include <map>
#include <string>

#include "homed/moves.h"
#include "homed/peers.h"

namespace omig {

class Control {
 public:
  Control(Daemon& daemon, Moves& moves, Peers& peers);
  ~Control();

  void start();

 private:
  using Local = asio::local::stream_protocol;

  awaitable<void> listen();
  awaitable<void> serve(Local::socket socket);
  awaitable<Json> answer(Local::socket& socket, const Json& request, uid_t uid);
  awaitable<Json> place(Local::socket& socket, const Json& request, uid_t uid);
  awaitable<void> keep_placement(pid_t pid, std::string to, uid_t uid, i64 until_ms);
  awaitable<void> look_for(pid_t pid);
  Json ping();
  Json nodes();
  awaitable<Json> ps();
  Json processes(const std::map<pid_t, u64>& away);
  awaitable<std::map<pid_t, u64>> cpu_away();
  Json where(i32 pid);
  Json why(i32 pid, uid_t uid);
  awaitable<void> hear_announcements();

  Daemon& d_;
  Moves& moves_;
  Peers& peers_;
  Local::acceptor acceptor_;
  asio::local::datagram_protocol::socket announcements_;
  asio::steady_timer announced_;  // cancelled at every announcement
};

}  // namespace omig
