// SPDX-License-Identifier: Apache-2.0
// The map of a cluster: a file, but soon what another node sends. What is accepted is consistent and survives writing.
#include "lib/cluster/map.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const omig::u8* data, size_t bytes) {
  using namespace omig::cluster;
  const auto resolve = [](const std::string& name) -> std::optional<omig::u32> {
    CLAIM(!name.empty() && name.size() <= 253);
    if (name.size() % 7 == 0) return std::nullopt;
    return 0x0a000000u + static_cast<omig::u32>(name.size());
  };
  const ParsedMap parsed = parse_map({reinterpret_cast<const char*>(data), bytes}, resolve);
  for (const MapError& error : parsed.errors) CLAIM(!error.text.empty() && error.text.find('\n') == std::string::npos);
  if (!parsed.errors.empty()) return 0;
  const NodeMap& map = parsed.map;
  CLAIM(map.nodes() >= 1 && map.nodes() <= kMaxNodeId);
  for (const MapRange& range : map.ranges) {
    CLAIM(range.first_id >= 1 && range.last_id() <= kMaxNodeId && range.last_id() >= range.first_id);
    CLAIM(map.id_of(range.last_address()) == range.last_id() && map.address_of(range.first_id) == range.first_address);
  }
  for (const MapAlias& alias : map.aliases) CLAIM(map.id_of(alias.address) == alias.id && map.address_of(alias.id));
  const ParsedMap again = parse_map(map.text(), resolve);
  CLAIM(again.errors.empty() && again.map.text() == map.text());
  return 0;
}
