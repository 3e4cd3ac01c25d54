// SPDX-License-Identifier: Apache-2.0
// How a node belongs to a cluster: which one it is, where the others reach it, and by what it knows who they are. Pure:
// what homed keeps of it (membership.json) and checks it by.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lib/cluster/map.h"
#include "lib/cluster/window.h"

namespace omig::cluster {

inline constexpr u16 kHomedPort = 7946;  // unless homed is told another one

enum class Form {
  peers,      // it talks to those it was told of, and to whomever they know: the key admits
  map,        // only the nodes of a map belong to it
  discovery,  // as peers, but omdiscd found them
  alone,      // it has left: nobody is talked to, nobody is heard
};
const char* form_name(Form form);

struct Membership {
  Form form = Form::peers;
  u32 id = 0;
  Endpoint listen;
  std::vector<Endpoint> peers;  // whom to talk to first and always
  NodeMap map;                  // of Form::map
};

bool admits(const Membership& membership, const NodeEntry& entry);

// A map that is text between programs: its host names have become addresses.
ParsedMap parse_resolved_map(std::string_view text);

nlohmann::json to_json(const Membership& membership);
// Nothing if anything in it is missing or makes no sense.
std::optional<Membership> membership_from_json(const nlohmann::json& json);

Endpoint endpoint_at(u32 address, u16 port);
u32 address_in(const Endpoint& endpoint);

}  // namespace omig::cluster
