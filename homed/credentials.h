// SPDX-License-Identifier: Apache-2.0
// What this homed shows others to be let in, and whom it lets in itself.
#pragma once

#include <boost/asio/ssl.hpp>
#include <memory>
#include <string>

#include "homed/stream.h"
#include "lib/link/identity.h"

namespace omig {

class Credentials {
 public:
  // Of the state directory; a node that has none founds a cluster of its own. Throws std::runtime_error.
  Credentials(std::string state_dir, const std::string& node);

  const Identity& identity() const { return identity_; }
  asio::ssl::context& context() { return *context_; }
  const std::string& fingerprint() const { return fingerprint_; }  // of this node
  const std::string& cluster() const { return cluster_; }          // fingerprint of the authority
  bool may_admit() const { return !identity_.authority.empty(); }
  // Another identity since? Conversations begun under an older one are over.
  u64 generation() const { return generation_; }

  // From now on, and after a restart. Empty: done, else why not.
  std::string adopt(Identity identity);

  const Revocations& revocations() const { return revocations_; }
  bool revoked(const std::string& fingerprint) const { return revocations_.has(fingerprint); }
  // A list that another node tells. True: it was news, and is kept.
  bool learn(const Json& list);
  // Puts a node on the list. Empty: done, else why not.
  std::string revoke(const std::string& fingerprint);

 private:
  void use(Identity identity);
  std::string keep(Revocations list);
  void load_revocations();

  std::string state_dir_;
  Identity identity_;
  std::string fingerprint_, cluster_;
  std::unique_ptr<asio::ssl::context> context_;
  u64 generation_ = 0;
  Revocations revocations_;
};

}  // namespace omig
