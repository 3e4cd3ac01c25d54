// SPDX-License-Identifier: Apache-2.0
// The cluster's map as a file on this machine, and this machine's place in it.
#pragma once

#include <string>
#include <vector>

#include "lib/cluster/map.h"
#include "lib/cluster/membership.h"

namespace omig {

inline constexpr const char* kDefaultMap = "/etc/openmosix.map";

// The IPv4 address of a host name or address; nothing if it has none. DNS may take seconds.
std::optional<u32> look_up(const std::string& name);

// Reads and checks it ("-": standard input); host names are looked up. Throws std::runtime_error with one line,
// FILE:LINE: what is wrong, of the first error.
cluster::NodeMap read_map(const std::string& name);

// The IPv4 addresses of this machine's interfaces that are up, in host byte order. Throws if they cannot be listed.
std::vector<u32> own_addresses();

struct MapPlace {
  u32 id = 0;
  u32 address = 0;          // one of ours: the node's main one if it is, else an ALIAS
  std::vector<u32> others;  // the main addresses of all other nodes
};

// Throws std::runtime_error, one line that names `file`, if no address is in the map or they are those of two nodes.
MapPlace place_in_map(const cluster::NodeMap& map, const std::vector<u32>& own, const std::string& file);

// As a node of the map. All of them listen on the same port. Throws as place_in_map does.
cluster::Membership membership_by(const cluster::NodeMap& map, const std::vector<u32>& own, u16 port,
                                  const std::string& file);

}  // namespace omig
