// SPDX-License-Identifier: Apache-2.0
// How nodes that know the cluster's key, and nothing else of each other, find each other: each multicasts where it is.
// Pure: what a datagram is, and which ones are believed.
//
//   "OMDI", u8 version, u8 length of the name, u16 port, u32 address, u32 id, u64 time, u64 counter, name, MAC
//
// Integers are little-endian, the address is IPv4 as 10.0.0.1 = 0x0a000001, the time is the sender's, in ms since 1970,
// and the MAC is HMAC-SHA256(key, "discovery" | all before it). A recorded datagram is worth nothing: too old by its
// time after a minute, and until then by its counter, which a node never uses twice (it begins at the time when it
// starts).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/types.h"
#include "lib/link/mac.h"

namespace omig::cluster {

inline constexpr size_t kMaxName = 31;
inline constexpr size_t kDiscoveryHead = 32;
inline constexpr size_t kMaxDatagram = kDiscoveryHead + kMaxName + sizeof(Mac);
inline constexpr i64 kDatagramLives_ms = 60'000;  // clocks of a cluster may differ by so much

struct Presence {
  u32 id = 0;
  std::string name;
  Endpoint at;  // of its homed
  i64 time_ms = 0;
  u64 counter = 0;
  bool operator==(const Presence&) const = default;
};

std::string to_datagram(const Presence& presence, const ClusterKey& key);  // name: 1 to 31 characters
// Nothing, and *why in a few words: it was not made by somebody who knows the key, or not by this version.
std::optional<Presence> from_datagram(std::string_view bytes, const ClusterKey& key, std::string* why);

// Which datagrams are news.
class Freshness {
 public:
  // Empty: it is; else why not. `now_ms`: our clock, since 1970.
  std::string take(const Presence& presence, i64 now_ms);

 private:
  static constexpr size_t kMost = 65'536;  // senders; more than a cluster has
  struct Last {
    u64 counter = 0;
    i64 time_ms = 0;
  };
  std::map<Endpoint, Last> last_;
};

// Somebody who sends garbage is mentioned once a minute, whatever he sends.
class Complaints {
 public:
  bool due(u32 source, i64 now_ms);

 private:
  static constexpr i64 kEvery_ms = 60'000;
  static constexpr size_t kMost = 1'024;  // sources at a time; of more nothing is said until a minute is over
  std::map<u32, i64> last_ms_;
};

}  // namespace omig::cluster
