// SPDX-License-Identifier: Apache-2.0
// Conversations between homeds: TLS 1.3 in which both show that they belong to the cluster (lib/link/identity.h).
#pragma once

#include <boost/asio/ssl.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "homed/credentials.h"
#include "homed/stream.h"

namespace omig {

using Secure = asio::ssl::stream<tcp::socket>;

// Somebody at the other end of a conversation.
struct Peer {
  std::unique_ptr<Secure> stream;
  std::string fingerprint;  // empty: a newcomer without a certificate
  u64 generation = 0;       // of our credentials
  i64 used_ms = 0;

  bool of_cluster(const Credentials& credentials) const {
    return !fingerprint.empty() && generation == credentials.generation() && !credentials.revoked(fingerprint);
  }
};

// Connected to, and a member; else no stream, and *error says why.
awaitable<Peer> call_member(asio::io_context& io, Credentials& credentials, Endpoint to, milliseconds timeout,
                            std::string* error);
// Connected to a member of the cluster with that fingerprint, as a newcomer.
awaitable<Peer> call_founder(asio::io_context& io, Endpoint to, std::string cluster, milliseconds timeout,
                             std::string* error);
// The handshake with somebody who has connected. False: he is none.
awaitable<bool> welcome(Peer& peer, const Credentials& credentials, milliseconds timeout);

// Questions to other homeds. A connection is kept for a while after an answer: a handshake costs a round trip and a
// millisecond of both CPUs.
class Callers {
 public:
  Callers(asio::io_context& io, Credentials& credentials) : io_(io), credentials_(credentials) {}
  // Nothing: *error says why. Asked again on a fresh connection if a kept one turns out to be over, so of a question
  // that the other end may hear twice.
  awaitable<std::optional<Json>> ask(Endpoint to, Json request, milliseconds timeout, std::string* error);

 private:
  std::optional<Peer> kept(const Endpoint& to);
  void keep(const Endpoint& to, Peer peer);

  asio::io_context& io_;
  Credentials& credentials_;
  std::multimap<Endpoint, Peer> idle_;
};

}  // namespace omig
