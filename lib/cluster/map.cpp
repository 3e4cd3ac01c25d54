// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/map.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "lib/base/words.h"

namespace omig::cluster {

namespace {

constexpr u32 kLoopbackFirst = 0x7f000000, kLoopbackLast = 0x7fffffff;
constexpr u32 kThisNetworkLast = 0x00ffffff;  // 0.0.0.0/8 is nobody's address
constexpr u32 kMulticastFirst = 0xe0000000;   // and neither is anything from 224.0.0.0 on

std::optional<u32> number(std::string_view text) {
  u32 value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool host_name(std::string_view word) {
  return word.size() <= 253 && word.front() != '-' && word.front() != '.' && std::ranges::all_of(word, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                  c == '_';
         });
}

// What is wrong with a line by itself; "" if it went into the map.
class Lines {
 public:
  Lines(NodeMap& map, const Resolve& resolve) : map_(map), resolve_(resolve) {}

  std::string take(const std::vector<std::string_view>& words, u32 line) {
    if (words.size() != 3)
      return fmt::format("{} words; a line is FIRST-ID ADDRESS COUNT or ID ADDRESS ALIAS", words.size());
    const auto id = number(words[0]);
    if (!id || *id < 1 || *id > kMaxNodeId)
      return fmt::format("{} is no node id: ids are 1..{}", quoted(words[0]), kMaxNodeId);
    u32 address = 0;
    if (std::string error = find(words[1], &address); !error.empty()) return error;
    if (words[2] == "ALIAS" || words[2] == "alias") {
      if (!usable(address, address)) return fmt::format("{} cannot be a machine's address", ipv4_text(address));
      map_.aliases.push_back({*id, address, line});
      return "";
    }
    const auto count = number(words[2]);
    if (!count || *count < 1) return fmt::format("{} is neither a count of nodes nor ALIAS", quoted(words[2]));
    if (*count > kMaxNodeId - *id + 1)
      return fmt::format("{} nodes from id {} on: the last id is {}", *count, *id, kMaxNodeId);
    if (*count - 1 > std::numeric_limits<u32>::max() - address || !usable(address, address + *count - 1))
      return fmt::format("{} nodes from {} on: not all can be a machine's address", *count, ipv4_text(address));
    map_.ranges.push_back({*id, address, *count, line});
    return "";
  }

 private:
  static bool usable(u32 first, u32 last) { return first > kThisNetworkLast && last < kMulticastFirst; }

  std::string find(std::string_view word, u32* address) const {
    const bool letters = std::ranges::any_of(word, [](char c) { return (c < '0' || c > '9') && c != '.'; });
    auto found = letters ? std::nullopt : parse_ipv4(word);
    if (!found && (!letters || !host_name(word)))
      return fmt::format("{} is neither an IPv4 address nor a host name", quoted(word));
    if (!found) found = resolve_(std::string(word));
    if (!found) return fmt::format("host {} has no IPv4 address that can be found", quoted(word));
    *address = *found;
    return "";
  }

  NodeMap& map_;
  const Resolve& resolve_;
};

// Something that takes the numbers first..last for itself.
struct Claim {
  u32 first = 0, last = 0;
  u32 line = 0;
};

// Tells of each claim that meets another; the later line is the wrong one.
template <class Tell>
void find_overlaps(std::vector<Claim> claims, const Tell& tell) {
  std::ranges::sort(
      claims, [](const Claim& a, const Claim& b) { return a.first != b.first ? a.first < b.first : a.line < b.line; });
  const Claim* widest = nullptr;  // of those so far, the one that reaches farthest
  for (const Claim& claim : claims) {
    if (widest != nullptr && claim.first <= widest->last)
      tell(claim.line > widest->line ? claim : *widest, claim.line > widest->line ? *widest : claim);
    if (widest == nullptr || claim.last > widest->last) widest = &claim;
  }
}

void check_ids(const NodeMap& map, std::vector<MapError>& errors) {
  std::vector<Claim> ids;
  for (const MapRange& range : map.ranges) ids.push_back({range.first_id, range.last_id(), range.line});
  find_overlaps(ids, [&](const Claim& later, const Claim& earlier) {
    if (later.first == later.last)
      errors.push_back({later.line, fmt::format("id {} is already in line {}", later.first, earlier.line)});
    else
      errors.push_back({later.line, fmt::format("ids {}..{} overlap those of line {} ({}..{})", later.first, later.last,
                                                earlier.line, earlier.first, earlier.last)});
  });
  for (const MapAlias& alias : map.aliases)
    if (!map.address_of(alias.id))
      errors.push_back({alias.line, fmt::format("ALIAS of node {}, which no line defines", alias.id)});
}

void check_addresses(const NodeMap& map, std::vector<MapError>& errors) {
  std::vector<Claim> ranges, aliases;
  for (const MapRange& range : map.ranges) ranges.push_back({range.first_address, range.last_address(), range.line});
  for (const MapAlias& alias : map.aliases) aliases.push_back({alias.address, alias.address, alias.line});
  const auto twice = [&](const Claim& later, const Claim& earlier) {
    errors.push_back(
        {later.line, fmt::format("address {} is already in line {}", ipv4_text(later.first), earlier.line)});
  };
  find_overlaps(ranges, [&](const Claim& later, const Claim& earlier) {
    if (later.first == later.last) return twice(later, earlier);
    errors.push_back({later.line, fmt::format("addresses {}..{} overlap those of line {} ({}..{})",
                                              ipv4_text(later.first), ipv4_text(later.last), earlier.line,
                                              ipv4_text(earlier.first), ipv4_text(earlier.last))});
  });
  find_overlaps(aliases, twice);
  std::ranges::sort(ranges, {}, &Claim::first);
  for (const Claim& alias : aliases) {
    auto after = std::ranges::upper_bound(ranges, alias.first, {}, &Claim::first);
    if (after == ranges.begin() || (--after)->last < alias.first) continue;
    errors.push_back({alias.line, fmt::format("ALIAS {} is inside the range of line {} ({}..{}): split that range",
                                              ipv4_text(alias.first), after->line, ipv4_text(after->first),
                                              ipv4_text(after->last))});
  }
  if (map.nodes() < 2) return;
  for (const auto& claims : {ranges, aliases})
    for (const Claim& claim : claims)
      if (claim.first <= kLoopbackLast && claim.last >= kLoopbackFirst)
        errors.push_back({claim.line, fmt::format("{} is in 127.0.0.0/8, which is every machine itself; this map has "
                                                  "{} nodes",
                                                  ipv4_text(std::max(claim.first, kLoopbackFirst)), map.nodes())});
}

}  // namespace

size_t NodeMap::nodes() const {
  size_t sum = 0;
  for (const MapRange& range : ranges) sum += range.count;
  return sum;
}

std::optional<u32> NodeMap::id_of(u32 address) const {
  for (const MapRange& range : ranges)
    if (address >= range.first_address && address <= range.last_address())
      return range.first_id + (address - range.first_address);
  for (const MapAlias& alias : aliases)
    if (alias.address == address) return alias.id;
  return std::nullopt;
}

std::optional<u32> NodeMap::address_of(u32 id) const {
  for (const MapRange& range : ranges)
    if (id >= range.first_id && id <= range.last_id()) return range.first_address + (id - range.first_id);
  return std::nullopt;
}

std::vector<u32> NodeMap::others(u32 id) const {
  std::vector<u32> addresses;
  for (const MapRange& range : ranges)
    for (u32 i = 0; i < range.count; ++i)
      if (range.first_id + i != id) addresses.push_back(range.first_address + i);
  return addresses;
}

std::string NodeMap::text() const {
  std::string text;
  for (const MapRange& range : ranges)
    text += fmt::format("{} {} {}\n", range.first_id, ipv4_text(range.first_address), range.count);
  for (const MapAlias& alias : aliases) text += fmt::format("{} {} ALIAS\n", alias.id, ipv4_text(alias.address));
  return text;
}

ParsedMap parse_map(std::string_view file, const Resolve& resolve) {
  ParsedMap parsed;
  if (file.size() > kMaxMapBytes) {
    parsed.errors.push_back({0, fmt::format("larger than {} bytes", kMaxMapBytes)});
    return parsed;
  }
  Lines lines(parsed.map, resolve);
  u32 line = 0;
  for (size_t at = 0; at < file.size();) {
    const size_t end = std::min(file.find('\n', at), file.size());
    ++line;
    const auto words = words_of(file.substr(at, end - at));
    at = end + 1;
    if (words.empty()) continue;
    if (std::string error = lines.take(words, line); !error.empty()) parsed.errors.push_back({line, std::move(error)});
  }
  if (parsed.map.ranges.empty() && parsed.errors.empty()) parsed.errors.push_back({0, "defines no node"});
  // A line that could not be read may be the one that an ALIAS needs: the map is compared only when all are.
  if (parsed.errors.empty()) {
    check_ids(parsed.map, parsed.errors);
    check_addresses(parsed.map, parsed.errors);
  }
  std::ranges::stable_sort(parsed.errors, {}, &MapError::line);
  return parsed;
}

std::optional<u32> parse_ipv4(std::string_view text) {
  u32 address = 0;
  for (int part = 0; part < 4; ++part) {
    const size_t end = part < 3 ? text.find('.') : text.size();
    if (end == std::string_view::npos || end < 1 || end > 3) return std::nullopt;
    const auto value = number(text.substr(0, end));
    if (!value || *value > 255) return std::nullopt;
    address = address << 8 | *value;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return address;
}

std::string ipv4_text(u32 address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

}  // namespace omig::cluster
