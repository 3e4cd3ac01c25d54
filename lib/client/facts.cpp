// SPDX-License-Identifier: Apache-2.0
#include "lib/client/facts.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <utility>

#include "lib/base/fields.h"

namespace omig {

namespace {

i32 rounded(double value) { return static_cast<i32>(std::lround(std::clamp(value, 0.0, 2e9))); }

}  // namespace

NodeFacts facts_of(const Json& node) {
  NodeFacts f;
  f.id = field<u32>(node, "id", 0);
  f.name = text_field(node, "name");
  f.endpoint = text_field(node, "endpoint");
  f.self = field(node, "self", false);
  const std::string state = text_field(node, "state");
  if (state == "up") f.status |= kStatusUp;
  if (state == "version mismatch") f.status |= kStatusVersion;
  // A quiet node accepts nobody either, for what it wants is not known.
  if (field(node, "quiet", false))
    f.status |= kStatusQuiet;
  else if (!field(node, "accepts", true))
    f.status |= kStatusBlock;
  f.cpus = field(node, "cpus", 0.0);
  f.load = rounded(field(node, "told", 0.0));
  f.speed = rounded(field(node, "speed", 0.0) * 10'000);
  f.utilisation = std::min(100, rounded(100 * field(node, "utilisation", 0.0)));
  f.free_bytes = field<u64>(node, "free_bytes", 0);
  f.real_free_bytes = field<u64>(node, "real_free_bytes", 0);
  f.total_bytes = field<u64>(node, "total_bytes", 0);
  f.guests = field<u32>(node, "guests", 0);
  f.away = field<u32>(node, "away", 0);
  f.age_ms = field<i64>(node, "age_ms", 0);
  return f;
}

u32 with_settings(u32 status, const Json& settings) {
  constexpr std::array<std::pair<const char*, u32>, 4> kBits{
      {{"block", kStatusBlock}, {"stay", kStatusStay}, {"lstay", kStatusLstay}, {"quiet", kStatusQuiet}}};
  for (const auto& [name, bit] : kBits)
    if (field(settings, name, false)) status |= bit;
  return status;
}

const Json* node_named(const Json& answer, std::string_view name) {
  const auto nodes = answer.find("nodes");
  if (nodes == answer.end() || !nodes->is_array()) return nullptr;
  for (const Json& node : *nodes) {
    if (!node.is_object()) continue;
    const std::string endpoint = text_field(node, "endpoint");
    const bool meant = name.empty()
                           ? field(node, "self", false)
                           : name == text_field(node, "name") || name == std::to_string(field<u32>(node, "id", 0)) ||
                                 name == endpoint || name == std::string_view(endpoint).substr(0, endpoint.find(':'));
    if (meant) return &node;
  }
  return nullptr;
}

int errno_of_refusal(const Json& answer) {
  constexpr std::array<std::pair<const char*, int>, 7> kCodes{{{"no process", ESRCH},
                                                               {"no node", ENXIO},
                                                               {"node down", EHOSTUNREACH},
                                                               {"not permitted", EPERM},
                                                               {"busy", EAGAIN},
                                                               {"invalid", EINVAL},
                                                               {"unknown", ENOSYS}}};
  const std::string code = text_field(answer, "code");
  for (const auto& [name, number] : kCodes)
    if (code == name) return number;
  return ECANCELED;
}

}  // namespace omig
