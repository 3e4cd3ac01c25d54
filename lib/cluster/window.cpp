// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/window.h"

#include <algorithm>
#include <charconv>

namespace omig::cluster {

namespace {

constexpr size_t kMostIdentity = 64;

// Fields come from a node that knows the key, which may still be an older or a broken one: everything is checked.
template <class T>
bool take(const nlohmann::json& json, const char* key, T& into, double low, double high) {
  const auto it = json.find(key);
  if (it == json.end() || !it->is_number()) return false;
  const double value = it->get<double>();
  if (!(value >= low && value <= high)) return false;
  into = it->get<T>();
  return true;
}

}  // namespace

nlohmann::json to_json(const NodeEntry& e) {
  return {{"id", e.id},
          {"name", e.name},
          {"endpoint", e.endpoint.text()},
          {"version", e.versions.newest},
          {"oldest_version", e.versions.oldest},
          {"incarnation", e.incarnation},
          {"seq", e.seq},
          {"cpus", e.cpus},
          {"speed", e.speed},
          {"runnable", e.runnable},
          {"held", e.held},
          {"reserved", e.reserved},
          {"told", e.told},
          {"coming", e.coming},
          {"free_bytes", e.free_bytes},
          {"total_bytes", e.total_bytes},
          {"real_free_bytes", e.real_free_bytes},
          {"utilisation", e.utilisation},
          {"guests", e.guests},
          {"away", e.away},
          {"accepts", e.accepts},
          {"quiet", e.quiet},
          {"identity", e.identity}};
}

std::optional<NodeEntry> entry_from_json(const nlohmann::json& json) {
  if (!json.is_object()) return std::nullopt;
  NodeEntry e;
  constexpr double kBig = 1e18;
  if (!take(json, "id", e.id, 1, 65535) || !take(json, "version", e.versions.newest, 0, 1e9) ||
      !take(json, "incarnation", e.incarnation, 0, kBig) || !take(json, "seq", e.seq, 0, kBig) ||
      !take(json, "cpus", e.cpus, 1e-3, 1e5) || !take(json, "speed", e.speed, 1e-3, 1e4) ||
      !take(json, "runnable", e.runnable, 0, 1e7) || !take(json, "held", e.held, 0, 1e7) ||
      !take(json, "reserved", e.reserved, 0, 1e7) || !take(json, "told", e.told, 0, 1e12) ||
      !take(json, "coming", e.coming, 0, 1e7) || !take(json, "free_bytes", e.free_bytes, 0, kBig) ||
      !take(json, "total_bytes", e.total_bytes, 0, kBig) ||
      !take(json, "real_free_bytes", e.real_free_bytes, 0, kBig) || !take(json, "utilisation", e.utilisation, 0, 1) ||
      !take(json, "guests", e.guests, 0, 1e9) || !take(json, "away", e.away, 0, 1e9))
    return std::nullopt;
  if (!json.contains("oldest_version"))
    e.versions.oldest = e.versions.newest;
  else if (!take(json, "oldest_version", e.versions.oldest, 0, e.versions.newest))
    return std::nullopt;
  const auto name = json.find("name");
  const auto endpoint = json.find("endpoint");
  const auto accepts = json.find("accepts"), quiet = json.find("quiet"), identity = json.find("identity");
  if (name == json.end() || !name->is_string() || endpoint == json.end() || !endpoint->is_string() ||
      accepts == json.end() || !accepts->is_boolean() || quiet == json.end() || !quiet->is_boolean() ||
      identity == json.end() || !identity->is_string() ||
      identity->get_ref<const std::string&>().size() > kMostIdentity)
    return std::nullopt;
  e.name = name->get<std::string>();
  if (e.name.empty() || e.name.size() > 31) return std::nullopt;
  const auto parsed = Endpoint::parse(endpoint->get_ref<const std::string&>());
  if (!parsed) return std::nullopt;
  e.endpoint = *parsed;
  e.accepts = accepts->get<bool>();
  e.quiet = quiet->get<bool>();
  e.identity = identity->get<std::string>();
  return e;
}

const NodeEntry* Window::conflict(const NodeEntry& entry, i64 now_ms) const {
  for (const auto& [id, seen] : news_.all()) {
    const bool same_place = seen.entry.endpoint == entry.endpoint;
    if (!same_place && (id == entry.id || seen.entry.name == entry.name) && seen.alive(now_ms)) return &seen.entry;
  }
  return nullptr;
}

bool Window::merge(const NodeEntry& entry, i64 age_ms, i64 now_ms) {
  return conflict(entry, now_ms) == nullptr && news_.merge(entry, age_ms, now_ms);
}

nlohmann::json Window::to_json(i64 now_ms, size_t max_entries) const {
  nlohmann::json list = nlohmann::json::array();
  for (const Seen* seen : news_.freshest(max_entries)) {
    nlohmann::json entry = cluster::to_json(seen->entry);
    entry["age_ms"] = now_ms - seen->produced_ms;
    list.push_back(std::move(entry));
  }
  return list;
}

std::vector<u32> Window::merge_json(const nlohmann::json& json, i64 now_ms, u32 except_id) {
  std::vector<u32> news;
  if (!json.is_array()) return news;
  for (const auto& item : json) {
    const auto entry = entry_from_json(item);
    i64 age_ms = 0;
    if (!entry || entry->id == except_id || !take(item, "age_ms", age_ms, 0, 1e12)) continue;
    if (age_ms <= kForgetAfter_ms && merge(*entry, age_ms, now_ms)) news.push_back(entry->id);
  }
  return news;
}

const Seen* Window::find(const std::string& name_or_id) const {
  for (const auto& [id, seen] : news_.all())
    if (seen.entry.name == name_or_id) return &seen;
  u32 id = 0;
  const char* const end = name_or_id.data() + name_or_id.size();
  const auto [next, code] = std::from_chars(name_or_id.data(), end, id);
  return code == std::errc{} && next == end ? find(id) : nullptr;
}

}  // namespace omig::cluster
