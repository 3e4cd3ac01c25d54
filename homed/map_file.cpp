// SPDX-License-Identifier: Apache-2.0
#include "homed/map_file.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace omig {

namespace {

u32 address_of(const sockaddr* address) {
  sockaddr_in in{};
  std::memcpy(&in, address, sizeof in);
  return ntohl(in.sin_addr.s_addr);
}

}  // namespace

std::optional<u32> look_up(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) return std::nullopt;
  const std::optional<u32> address = found == nullptr ? std::nullopt : std::optional(address_of(found->ai_addr));
  freeaddrinfo(found);
  return address;
}

cluster::NodeMap read_map(const std::string& name) {
  const bool standard = name == "-";
  const std::string file = standard ? "standard input" : name;
  std::ifstream in(standard ? "/dev/stdin" : name, std::ios::binary);
  if (!in) throw std::runtime_error(fmt::format("cannot read the map {}: {}", file, std::strerror(errno)));
  std::string text(cluster::kMaxMapBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) throw std::runtime_error(fmt::format("cannot read the map {}: {}", file, std::strerror(errno)));
  text.resize(static_cast<size_t>(in.gcount()));
  cluster::ParsedMap parsed = cluster::parse_map(text, look_up);
  if (parsed.errors.empty()) return std::move(parsed.map);
  const cluster::MapError& first = parsed.errors.front();
  std::string message = first.line == 0 ? fmt::format("the map {}: {}", file, first.text)
                                        : fmt::format("{}:{}: {}", file, first.line, first.text);
  if (parsed.errors.size() > 1) message += fmt::format(" (the first of {} mistakes)", parsed.errors.size());
  throw std::runtime_error(message);
}

std::vector<u32> own_addresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0)
    throw std::runtime_error(fmt::format("cannot list this machine's addresses: {}", std::strerror(errno)));
  std::vector<u32> addresses;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next)
    if (each->ifa_addr != nullptr && each->ifa_addr->sa_family == AF_INET && (each->ifa_flags & IFF_UP) != 0)
      addresses.push_back(address_of(each->ifa_addr));
  freeifaddrs(list);
  return addresses;
}

MapPlace place_in_map(const cluster::NodeMap& map, const std::vector<u32>& own, const std::string& file) {
  MapPlace place;
  std::string tried;
  for (const u32 address : own) {
    tried += (tried.empty() ? "" : ", ") + cluster::ipv4_text(address);
    const auto id = map.id_of(address);
    if (!id) continue;
    if (place.id != 0 && place.id != *id)
      throw std::runtime_error(
          fmt::format("the map {} has this machine twice: as node {} ({}) and as node {} ({}); "
                      "make one of them an ALIAS",
                      file, place.id, cluster::ipv4_text(place.address), *id, cluster::ipv4_text(address)));
    if (place.id == 0 || map.address_of(*id) == address) place.address = address;
    place.id = *id;
  }
  if (place.id == 0)
    throw std::runtime_error(
        fmt::format("this machine is not in the map {}: it has {}", file, tried.empty() ? "no address" : tried));
  place.others = map.others(place.id);
  return place;
}

cluster::Membership membership_by(const cluster::NodeMap& map, const std::vector<u32>& own, u16 port,
                                  const std::string& file) {
  const MapPlace place = place_in_map(map, own, file);
  cluster::Membership membership;
  membership.form = cluster::Form::map;
  membership.id = place.id;
  membership.listen = cluster::endpoint_at(place.address, port);
  for (const u32 other : place.others) membership.peers.push_back(cluster::endpoint_at(other, port));
  membership.map = map;
  return membership;
}

}  // namespace omig
