// SPDX-License-Identifier: Apache-2.0
// The map of a cluster as openMosix wrote it (/etc/openmosix.map): which node id has which IPv4 address. One file
// serves on every node. A line is one of
//
//   FIRST-ID ADDRESS COUNT   COUNT nodes with consecutive ids and consecutive addresses
//   ID ADDRESS ALIAS         one more address of node ID, which another line defines
//
// `#` starts a comment; ADDRESS may be a host name; ids are 1..65535. Pure: names are resolved by the caller's
// function.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/types.h"

namespace omig::cluster {

inline constexpr u32 kMaxNodeId = 65535;
inline constexpr size_t kMaxMapBytes = 1 << 20;

// Addresses are IPv4 in host byte order: 10.0.0.1 is 0x0a000001.
struct MapRange {
  u32 first_id = 0;
  u32 first_address = 0;
  u32 count = 1;
  u32 line = 0;  // where it stands in the file, from 1
  u32 last_id() const { return first_id + count - 1; }
  u32 last_address() const { return first_address + count - 1; }
};

struct MapAlias {
  u32 id = 0;
  u32 address = 0;
  u32 line = 0;
};

struct NodeMap {
  std::vector<MapRange> ranges;
  std::vector<MapAlias> aliases;

  size_t nodes() const;
  std::optional<u32> id_of(u32 address) const;  // aliases too
  std::optional<u32> address_of(u32 id) const;  // the one of its range
  std::vector<u32> others(u32 id) const;        // main addresses of all nodes but that one
  std::string text() const;                     // as a file; parse_map of it gives the same map
};

struct MapError {
  u32 line = 0;
  std::string text;  // one line, without the file's name; names the other line where there are two
};

struct ParsedMap {
  NodeMap map;                   // to be used only if there are no errors
  std::vector<MapError> errors;  // by line
};

// The address of a host name; nothing if it has none.
using Resolve = std::function<std::optional<u32>(const std::string& name)>;

// Finds every error, not only the first: a map is checked as a whole. A map of no node is an error, too (line 0).
ParsedMap parse_map(std::string_view file, const Resolve& resolve);

std::optional<u32> parse_ipv4(std::string_view text);  // "A.B.C.D", nothing else
std::string ipv4_text(u32 address);

}  // namespace omig::cluster
