// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/membership.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/fields.h"

namespace omig::cluster {

namespace {

constexpr std::array kForms{std::pair{Form::peers, "peers"}, std::pair{Form::map, "map"},
                            std::pair{Form::discovery, "discovery"}, std::pair{Form::alone, "alone"}};

}  // namespace

const char* form_name(Form form) {
  return std::ranges::find(kForms, form, &std::pair<Form, const char*>::first)->second;
}

bool admits(const Membership& membership, const NodeEntry& entry) {
  switch (membership.form) {
    case Form::peers:
    case Form::discovery: return true;
    case Form::map: return membership.map.id_of(address_in(entry.endpoint)) == entry.id;
    case Form::alone: return false;
  }
  return false;
}

ParsedMap parse_resolved_map(std::string_view text) {
  return parse_map(text, [](const std::string&) { return std::nullopt; });
}

nlohmann::json to_json(const Membership& membership) {
  nlohmann::json json{
      {"form", form_name(membership.form)}, {"id", membership.id}, {"listen", membership.listen.text()}};
  if (membership.form == Form::map) {
    json["map"] = membership.map.text();  // which names the peers, too
  } else {
    json["peers"] = nlohmann::json::array();
    for (const Endpoint& peer : membership.peers) json["peers"].push_back(peer.text());
  }
  return json;
}

std::optional<Membership> membership_from_json(const nlohmann::json& json) {
  if (!json.is_object()) return std::nullopt;
  Membership membership;
  const std::string form = text_field(json, "form");
  const auto* known = std::ranges::find_if(kForms, [&](const auto& each) { return each.second == form; });
  const auto listen = Endpoint::parse(text_field(json, "listen"));
  membership.id = field<u32>(json, "id", 0);
  if (known == kForms.end() || !listen || membership.id < 1 || membership.id > kMaxNodeId) return std::nullopt;
  membership.form = known->first;
  membership.listen = *listen;
  if (membership.form == Form::map) {
    ParsedMap parsed = parse_resolved_map(text_field(json, "map"));
    if (!parsed.errors.empty() || parsed.map.id_of(address_in(*listen)) != membership.id) return std::nullopt;
    for (const u32 other : parsed.map.others(membership.id))
      membership.peers.push_back(endpoint_at(other, listen->port));
    membership.map = std::move(parsed.map);
    return membership;
  }
  const auto peers = json.find("peers");
  if (peers == json.end() || !peers->is_array()) return std::nullopt;
  for (const auto& each : *peers) {
    const auto peer = each.is_string() ? Endpoint::parse(each.get_ref<const std::string&>()) : std::nullopt;
    if (!peer) return std::nullopt;
    membership.peers.push_back(*peer);
  }
  return membership;
}

Endpoint endpoint_at(u32 address, u16 port) {
  return {{static_cast<u8>(address >> 24), static_cast<u8>(address >> 16), static_cast<u8>(address >> 8),
           static_cast<u8>(address)},
          port};
}

u32 address_in(const Endpoint& endpoint) {
  u32 address = 0;
  for (const u8 byte : endpoint.address) address = address << 8 | byte;
  return address;
}

}  // namespace omig::cluster
