// SPDX-License-Identifier: Apache-2.0
#include "homed/settings.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "homed/proc.h"
#include "homed/speed.h"
#include "lib/link/peer.h"

namespace omig {

namespace {

constexpr size_t kMostBytes = 64 << 10;
constexpr u32 kMostGateways = 2;  // openMosix'
constexpr u32 kMostPatience_s = 3600;

struct Switch {
  std::string_view name;
  bool Settings::*value;
};
constexpr std::array kSwitches{Switch{"block", &Settings::block}, Switch{"stay", &Settings::stay},
                               Switch{"lstay", &Settings::lstay}, Switch{"quiet", &Settings::quiet},
                               Switch{"mptcp", &Settings::mptcp}};

std::string file_of(const std::string& state_dir) { return state_dir + "/settings.json"; }

Json to_json(const Settings& settings) {
  Json json = Json::object();
  for (const Switch& each : kSwitches) json[std::string(each.name)] = settings.*each.value;
  json["speed"] = settings.speed;
  json["gateways"] = settings.gateways;
  json["patience"] = settings.patience_s;
  for (const LimitName& each : kLimits) json[std::string(each.name)] = settings.limits.*each.value;
  json["decay"] = {{"interval", settings.decay.interval_ms},
                   {"slow", settings.decay.slow_permille},
                   {"fast", settings.decay.fast_permille}};
  return json;
}

// Takes what `json` says into `settings`. Empty: done; else what is wrong with it, and `settings` is half changed.
std::string take(const Json& json, Settings& settings) {
  for (const auto& [name, value] : json.items()) {
    const auto* found = std::ranges::find(kSwitches, name, &Switch::name);
    if (found != kSwitches.end()) {
      if (!value.is_boolean()) return name + " is true or false, not " + value.dump();
      settings.*found->value = value.get<bool>();
    } else if (name == "speed") {
      if (!value.is_number() || value.get<double>() < 0 || value.get<double>() > 100)
        return "speed is a number from 0.01 to 100 (1 is the reference), or 0: measured; not " + value.dump();
      settings.speed = value.get<double>();
    } else if (name == "gateways") {
      if (!value.is_number_unsigned() || value.get<u64>() > kMostGateways)
        return fmt::format("gateways are 0 to {}, not {}", kMostGateways, value.dump());
      settings.gateways = value.get<u32>();
    } else if (name == "patience") {
      if (!value.is_number_unsigned() || value.get<u64>() > kMostPatience_s)
        return fmt::format("patience is 0 to {} seconds, not {}", kMostPatience_s, value.dump());
      settings.patience_s = value.get<u32>();
    } else if (const auto* limit = std::ranges::find(kLimits, name, &LimitName::name); limit != kLimits.end()) {
      const u64 number = value.is_number_unsigned() ? value.get<u64>() : ~0ull;
      if (number != 0 && (number < limit->least || number > limit->most))
        return fmt::format("{} is {} to {}, or 0: no limit; not {}", name, limit->least, limit->most, value.dump());
      settings.limits.*limit->value = static_cast<u32>(number);
    } else if (name == "decay") {
      if (!value.is_object()) return "decay is interval, slow and fast, not " + value.dump();
      cluster::DecaySettings& decay = settings.decay;
      for (const auto& [part, number] : value.items()) {
        if (!number.is_number_unsigned() || number.get<u64>() > 3'600'000) return "decay: " + part + " is no number";
        if (part == "interval")
          decay.interval_ms = number.get<i64>();
        else if (part == "slow")
          decay.slow_permille = number.get<u32>();
        else if (part == "fast")
          decay.fast_permille = number.get<u32>();
        else
          return "no part " + part + " of decay: there are interval, slow, fast";
      }
      if (!cluster::sensible(decay)) return std::string(cluster::kDecayRange);
    } else {
      return "no setting " + name +
             ": there are block, stay, lstay, quiet, mptcp, speed, gateways, patience, decay, guests, guests_per_home, "
             "guests_per_user, guest_mb, guest_cpu, owner_load";
    }
  }
  return "";
}

void apply_speed(Daemon& d, double speed) {
  const double given = speed != 0 ? speed : d.config.speed_option;
  d.config.speed_given = given != 0;  // if not, capacity.cpp looks after it again
  d.config.speed = given != 0 ? given : cached_speed(d.config.state_dir, speed_key()).value_or(d.config.speed);
}

void adopt(Daemon& d, const Settings& settings) {
  if (settings.speed != d.settings.speed) apply_speed(d, settings.speed);
  d.settings = settings;
  d.processes.decay = settings.decay;
  d.links.assume_gateways(settings.gateways);
}

}  // namespace

std::string keep_settings(Daemon& d, const Settings& wanted) {
  if (!replace_file(file_of(d.config.state_dir), to_json(wanted).dump(2) + "\n"))
    return fmt::format("cannot write {}: {}", file_of(d.config.state_dir), std::strerror(errno));
  adopt(d, wanted);
  return "";
}

void restore_settings(Daemon& d) {
  const auto text = read_text_file(file_of(d.config.state_dir), kMostBytes);
  if (!text) return;
  Settings settings;
  const Json json = Json::parse(*text, nullptr, false);
  const std::string wrong = json.is_object() ? take(json, settings) : "not a JSON object";
  if (!wrong.empty()) {
    log("{}: {}; it is not used", file_of(d.config.state_dir), wrong);
    return;
  }
  adopt(d, settings);
}

Json answer_settings(const Daemon& d) {
  Json settings = to_json(d.settings);
  settings["policy"] = d.config.policy->name;
  settings["balance"] = d.config.balance;
  return {{"ok", true}, {"node", d.config.name}, {"settings", settings}};
}

Json change_settings(Daemon& d, const Json& request, uid_t asker) {
  if (!may_administer(asker)) return not_an_administrator("change its settings");
  Settings wanted = d.settings;
  Json values = request;
  values.erase("op");
  if (const std::string wrong = take(values, wanted); !wrong.empty()) return refusal(wrong, "invalid");
  if (wanted.mptcp && !d.settings.mptcp && !has_multipath())
    return refusal("this kernel has no MPTCP, or does not let it be used (sysctl net.mptcp.enabled)");
  // guest_mb does without: who has too much is sent home. This needs the kernel.
  const u32 cpu = wanted.limits.guest_cpu;
  if (const std::string why = d.groups.why_not({.cpu_percent = cpu});
      cpu != d.settings.limits.guest_cpu && !why.empty())
    return refusal("guest_cpu: " + why);
  if (const std::string wrong = keep_settings(d, wanted); !wrong.empty()) return refusal(wrong);
  log("settings {}", to_json(d.settings).dump());
  return answer_settings(d);
}

}  // namespace omig
