// SPDX-License-Identifier: Apache-2.0
#include "lib/client/settings.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace omig {

namespace {

constexpr auto kSettings = std::to_array<Setting>({
    {"block", "block", "", 0, 1, true},
    {"stay", "stay", "", 0, 1, true},
    {"lstay", "lstay", "", 0, 1, true},
    {"quiet", "quiet", "", 0, 1, true},
    {"speed", "speed", "", 0, 1'000'000, false, 10'000},  // 1 in JSON, openMosix' 10000
    {"gateways", "gateways", "", 0, 2},
    {"patience", "patience", "", 0, 3600},
    {"decay-interval", "interval", "decay", 100, 3'600'000},
    {"slow-decay", "slow", "decay", 0, 1000},
    {"fast-decay", "fast", "decay", 0, 1000},
});

}  // namespace

std::string Setting::range() const {
  return yes_or_no ? "0 or 1" : std::to_string(least) + " to " + std::to_string(most);
}

std::span<const Setting> settings() { return kSettings; }

const Setting* setting_named(std::string_view name) {
  const auto found = std::ranges::find(kSettings, name, &Setting::name);
  return found == kSettings.end() ? nullptr : &*found;
}

std::optional<i64> value_of(const Json& settings, const Setting& setting) {
  const Json* in = &settings;
  if (!setting.in.empty()) {
    const auto inner = settings.find(setting.in);
    if (inner == settings.end()) return std::nullopt;
    in = &*inner;
  }
  const auto found = in->find(setting.key);
  if (found == in->end()) return std::nullopt;
  if (found->is_boolean()) return found->get<bool>() ? 1 : 0;
  if (!found->is_number()) return std::nullopt;
  return std::llround(found->get<double>() * setting.unit);
}

std::optional<Json> set_request(const Setting& setting, i64 value) {
  if (value < setting.least || value > setting.most) return std::nullopt;
  Json json = setting.yes_or_no   ? Json(value != 0)
              : setting.unit != 1 ? Json(static_cast<double>(value) / setting.unit)
                                  : Json(value);
  Json request{{"op", "set"}};
  if (setting.in.empty()) {
    request[std::string(setting.key)] = std::move(json);
  } else {
    request[std::string(setting.in)][std::string(setting.key)] = std::move(json);
  }
  return request;
}

}  // namespace omig
