// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/discovery.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "lib/cluster/map.h"
#include "lib/cluster/membership.h"

namespace omig::cluster {

namespace {

constexpr std::string_view kMagic = "OMDI";
constexpr u8 kVersion = 1;

template <class T>
void put(std::string& bytes, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(value >> (8 * i) & 255);
}

template <class T>
T take(std::string_view& bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value | T{static_cast<u8>(bytes[i])} << (8 * i));
  bytes.remove_prefix(sizeof(T));
  return value;
}

Mac mac_for(const ClusterKey& key, std::string_view text) { return mac_of(key, "discovery" + std::string(text)); }

// The name is shown to people.
bool sensible(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

std::string to_datagram(const Presence& presence, const ClusterKey& key) {
  if (presence.name.empty() || presence.name.size() > kMaxName) std::abort();
  std::string bytes(kMagic);
  put<u8>(bytes, kVersion);
  put<u8>(bytes, static_cast<u8>(presence.name.size()));
  put<u16>(bytes, presence.at.port);
  put<u32>(bytes, address_in(presence.at));
  put<u32>(bytes, presence.id);
  put<u64>(bytes, static_cast<u64>(presence.time_ms));
  put<u64>(bytes, presence.counter);
  bytes += presence.name;
  const Mac mac = mac_for(key, bytes);
  return bytes.append(reinterpret_cast<const char*>(mac.data()), mac.size());
}

std::optional<Presence> from_datagram(std::string_view bytes, const ClusterKey& key, std::string* why) {
  const auto no = [&](const char* text) {
    *why = text;
    return std::nullopt;
  };
  if (bytes.size() < kDiscoveryHead + 1 + sizeof(Mac) || bytes.size() > kMaxDatagram || !bytes.starts_with(kMagic))
    return no("not of omdiscd");
  const std::string_view text = bytes.substr(0, bytes.size() - sizeof(Mac));
  Mac mac{};
  std::memcpy(mac.data(), bytes.data() + text.size(), sizeof(mac));
  // Before anything is made of it.
  if (!mac_equal(mac, mac_for(key, text))) return no("made by a node of another cluster");
  std::string_view rest = text.substr(kMagic.size());
  if (take<u8>(rest) != kVersion) return no("of another version of omdiscd");
  const u8 length = take<u8>(rest);
  Presence presence;
  const u16 port = take<u16>(rest);
  presence.at = endpoint_at(take<u32>(rest), port);
  presence.id = take<u32>(rest);
  const u64 time_ms = take<u64>(rest);
  presence.counter = take<u64>(rest);
  constexpr u64 kMostTime = u64{1} << 62;  // differences do not overflow
  if (rest.size() != length || !sensible(rest) || port == 0 || presence.id < 1 || presence.id > kMaxNodeId ||
      time_ms > kMostTime)
    return no("its figures make no sense");
  presence.time_ms = static_cast<i64>(time_ms);
  presence.name = rest;
  return presence;
}

std::string Freshness::take(const Presence& presence, i64 now_ms) {
  // Whatever is older is refused by its time, and need not be remembered.
  if (last_.size() >= kMost)
    std::erase_if(last_, [&](const auto& each) { return now_ms - each.second.time_ms > kDatagramLives_ms; });
  if (std::abs(now_ms - presence.time_ms) > kDatagramLives_ms)
    return "its time is more than a minute from ours (are the clocks right?)";
  const auto at = last_.find(presence.at);
  if (at != last_.end() && presence.counter <= at->second.counter) return "heard before";
  if (at == last_.end() && last_.size() >= kMost) return "too many senders";
  // The later of the two: a sender whose clock is put back must not make us forget it while older ones still count.
  const i64 time_ms = at == last_.end() ? presence.time_ms : std::max(presence.time_ms, at->second.time_ms);
  last_[presence.at] = {presence.counter, time_ms};
  return "";
}

bool Complaints::due(u32 source, i64 now_ms) {
  const auto at = last_ms_.find(source);
  if (at != last_ms_.end() && now_ms - at->second < kEvery_ms) return false;
  if (at == last_ms_.end() && last_ms_.size() >= kMost) {
    std::erase_if(last_ms_, [&](const auto& each) { return now_ms - each.second >= kEvery_ms; });
    if (last_ms_.size() >= kMost) return false;
  }
  last_ms_[source] = now_ms;
  return true;
}

}  // namespace omig::cluster
