// SPDX-License-Identifier: Apache-2.0
// Who a node is, and to which cluster it belongs: X.509 certificates with Ed25519 keys.
//
// A cluster is a key pair, its *authority*. Each node has a key pair of its own and a certificate by the authority; the
// private key never leaves the node. Who has the authority's private key (the node that founded the cluster) can admit
// nodes and revoke them. A certificate has no end: a node whose clock is wrong must not be cut off, and who is thrown
// out is on the list of revocations, which the authority signs and the gossip spreads.
//
// A node is named by the fingerprint of its public key: 32 hex digits, half of its SHA-256.
#pragma once

#include <openssl/ssl.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lib/link/mac.h"

namespace omig {

struct Identity {
  std::string key, certificate;  // PEM, of this node
  std::string cluster;           // PEM: the authority's certificate
  ClusterKey multicast{};        // proves in datagrams (omdiscd) that a node belongs to the cluster
  std::string authority;         // PEM: the authority's private key; empty on most nodes
};

Identity new_cluster(const std::string& node);                          // and its first node
Identity new_member(const Identity& founder, const std::string& node);  // the founder has the authority

// DIR/identity.pem (all but the authority) and DIR/authority.pem, both of mode 0600. Nothing if it is missing,
// malformed or may be read by others (*error says so).
std::optional<Identity> load_identity(const std::string& dir, std::string* error);
bool keep_identity(const std::string& dir, const Identity& identity, std::string* error);  // at once or not at all
// The same as load, but founds a cluster of one where there is none.
std::optional<Identity> load_or_found(const std::string& dir, const std::string& node, std::string* error);

// Admission in two halves, for a newcomer that makes its own key.
std::string new_private_key();                              // PEM
std::string public_key_of(const std::string& private_key);  // hex of 32 bytes
std::string certify(const Identity& founder, const std::string& public_key_hex, const std::string& node);  // PEM, or ""

std::string fingerprint_of(const X509* certificate);
std::string fingerprint_of(const std::string& certificate);  // PEM; "" if it is none

// What a newcomer is told, by word of mouth: whom to ask, whom to believe, and what shows that it was invited.
struct Invitation {
  Endpoint at;
  std::string cluster;  // fingerprint of the authority
  std::string secret;   // 32 hex digits
};
inline constexpr std::string_view kTokenPrefix = "omig-";
std::string token_of(const Invitation& invitation);  // omig-A.B.C.D:PORT-CLUSTER-SECRET
std::optional<Invitation> invitation_in(std::string_view token);

std::string founder_of(const std::string& cluster_pem);  // the name of the node that has the authority

struct Revocations {
  u64 number = 0;                  // of the list: a larger one replaces a smaller one
  std::vector<std::string> nodes;  // fingerprints, sorted
  std::string signature;           // hex

  bool has(const std::string& fingerprint) const;
};
inline constexpr size_t kMostRevoked = 1000;
bool sign(Revocations* list, const Identity& founder);                    // false: no authority
bool is_signed(const Revocations& list, const std::string& cluster_pem);  // by that authority
nlohmann::json to_json(const Revocations& list);
std::optional<Revocations> revocations_from_json(const nlohmann::json& json);

// TLS 1.3 between members: both show their certificates, none but the authority's count. The caller owns it. Throws.
SSL_CTX* member_context(const Identity& identity);
// Of a newcomer, which has no certificate yet. It must see to it that the other end is_of the cluster it was invited
// to.
SSL_CTX* newcomer_context();
bool is_of(SSL* connection, const std::string& cluster_fingerprint);
std::string peer_of(SSL* connection);  // its fingerprint; "": it showed no certificate

}  // namespace omig
