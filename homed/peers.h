// SPDX-License-Identifier: Apache-2.0
// The other daemons: gossip with them, and their requests to us.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "homed/daemon.h"
#include "homed/tickets.h"
#include "lib/cluster/discovery.h"
#include "lib/cluster/doors.h"
#include "lib/link/conversation.h"

namespace omig {

class Peers {
 public:
  Peers(Daemon& daemon, std::function<void()> on_news);
  // Called when a node turns out to be revoked, before it is forgotten.
  std::function<void()> on_revoked;

  // Listens, and talks to those whom the membership names. Throws if the address cannot be listened at.
  void start(const cluster::Membership& membership);
  // Our load has changed: tell the others at once (at most four times a second).
  void hurry();

  // For a changed membership, in this order. Listens at another address; the old one is given up by `follow`. Empty:
  // done, else why not, and nothing has changed.
  std::string listen_also(const Endpoint& at);
  void listen_no_more();  // it will not be changed after all
  // From now on (d.config says the same): ends the talks to those who do not belong here any more, and what is
  // remembered of them; begins those to the new ones.
  void follow(const cluster::Membership& membership);
  const cluster::Membership& membership() const { return doors_.membership(); }
  // Tells everybody that we talk to that we leave; returns when they know, or after a second.
  awaitable<void> say_goodbye();
  // Asks a node that we do not talk to yet to hear us, who would be reached at `as`. Its news, or a refusal.
  awaitable<Json> introduce(Endpoint to, Endpoint as);
  void take_news(const Json& message);

  // A token that admits `uses` nodes within that time; the caller has seen that we may.
  std::string invite(std::chrono::seconds time, u32 uses);
  // The list of revoked nodes has changed: they are forgotten, and everybody is told.
  void follow_revocations();

 private:
  struct Talk {
    explicit Talk(asio::io_context& io, bool always) : timer(io), configured(always) {}
    asio::steady_timer timer;
    bool configured;     // goes on whatever happens; else while the node is known
    bool over = false;   // is to end, with a last word if we leave
    bool heard = false;  // an answer, on the present connection
  };
  using Acceptor = std::shared_ptr<tcp::acceptor>;

  Acceptor listening(const Endpoint& at, std::string* error);
  awaitable<void> listen(Acceptor acceptor);
  void show_one_out();
  awaitable<void> serve(tcp::socket socket);
  class Standing;
  awaitable<void> serve_ticket(tcp::socket& socket, Standing& standing);
  awaitable<void> serve_newcomer(Peer& peer);
  Json answer(const Peer& peer, const Json& request);
  Json admit(const Json& request);
  Json gossip(const Peer& peer, const Json& request);
  Json give_ticket(const Json& request);
  cluster::NodeEntry told_entry();
  Json news();
  Json offer(const Json& request);
  Json explain(const Json& request);
  std::optional<std::string> why_not_here(const Json& request) const;
  struct Expected {
    Ticket ticket;
    Json request;
    u32 attempts = kMoveAttempts;  // that are left
  };
  void receive_guest(tcp::socket& socket, const Expected& guest);

  void learn_peers();
  void begin(Endpoint peer, bool configured);
  bool listed(Endpoint peer) const;
  std::string why_a_stranger(const cluster::NodeEntry& entry) const;
  awaitable<void> talk(Endpoint peer, std::shared_ptr<Talk> talk);
  bool could_relieve(Endpoint peer);
  void measure(const Peer& peer, const Json& answer);
  void count_as_new(u64 said_before);
  awaitable<bool> exchange(const Peer& member, Endpoint peer, std::shared_ptr<Talk> talk);
  void problem(Endpoint peer, std::string text);

  Daemon& d_;
  std::function<void()> on_news_;
  Acceptor acceptor_, next_;
  std::map<Endpoint, std::shared_ptr<Talk>> talking_;
  cluster::Doors doors_;
  bool leaving_ = false;
  cluster::Tokens tokens_{32};         // arrivals that are agreed to per second
  std::list<tcp::socket*> strangers_;  // have not proved yet that they belong here; the oldest first
  cluster::Complaints complaints_;     // that there are too many, in the log
  OneTime<std::array<u8, 16>, Expected> tickets_{1024};
  OneTime<Mac, std::chrono::seconds> invitations_{64};
};

}  // namespace omig
