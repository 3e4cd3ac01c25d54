// SPDX-License-Identifier: Apache-2.0
// The other daemons: gossip with them, and their requests to us.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "homed/daemon.h"

namespace omig {

class Peers {
 public:
  Peers(Daemon& daemon, std::function<void()> on_news);

  void start();
  // Our load has changed: tell the others at once (at most four times a second).
  void hurry();

 private:
  awaitable<void> listen();
  awaitable<void> serve(tcp::socket socket);
  // True: go on with this connection; false: it was handed on or is to be closed.
  awaitable<bool> answer(tcp::socket& socket, const Json& request);
  Json gossip(const Json& request);
  Json news();
  void take_news(const Json& message);
  Json offer(const Json& request);
  std::optional<std::string> why_not_here(const Json& request) const;
  void receive_guest(tcp::socket socket, const Json& request);

  void learn_peers();
  awaitable<void> talk(Endpoint peer);
  bool could_relieve(Endpoint peer);
  awaitable<bool> exchange(tcp::socket& socket, Endpoint peer);
  void problem(Endpoint peer, std::string text);

  Daemon& d_;
  std::function<void()> on_news_;
  tcp::acceptor acceptor_;
  std::map<Endpoint, std::shared_ptr<asio::steady_timer>> talking_;
  cluster::Tokens tokens_{32};  // arrivals that are agreed to per second
  u32 strangers_ = 0;           // connections that have not proved that they know the key
};

}  // namespace omig
