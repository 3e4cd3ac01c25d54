// SPDX-License-Identifier: Apache-2.0
// What an administrator allows guests: how many, of whom, how large; and that the owner's own work comes first.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "homed/visitors.h"

namespace omig {

struct Daemon;
class Moves;

// 0: no limit.
struct Limits {
  u32 guests = 0;           // at a time
  u32 guests_per_home = 0;  // of one node
  u32 guests_per_user = 0;  // of one user of one node
  u32 guest_mb = 0;         // memory of each
  u32 owner_load = 0;  // percent of the CPUs that others than guests use: from there on guests go home, and none come
};

struct LimitName {
  std::string_view name;
  u32 Limits::*value;
  u32 least, most;  // besides 0
};
inline constexpr std::array kLimits{LimitName{"guests", &Limits::guests, 1, 100'000},
                                    LimitName{"guests_per_home", &Limits::guests_per_home, 1, 100'000},
                                    LimitName{"guests_per_user", &Limits::guests_per_user, 1, 100'000},
                                    LimitName{"guest_mb", &Limits::guest_mb, 1, 1u << 30},
                                    LimitName{"owner_load", &Limits::owner_load, 10, 100}};

// Why one more guest is too much; nothing: it is not. uid: if it is known.
std::optional<std::string> limit_reached(const Daemon& daemon, const std::string& home, std::optional<uid_t> uid,
                                         u64 rss_bytes);

// Sends home who is here against a limit. Looks whenever it is told to.
class Warden {
 public:
  Warden(Daemon& daemon, Moves& moves) : d_(daemon), moves_(moves) {}
  void review();

 private:
  void watch_owner();
  awaitable<void> send_home(VisitorKey key, std::string reason);

  Daemon& d_;
  Moves& moves_;
  u32 leaving_ = 0;
  i64 changing_since_ms_ = 0;  // since when the owner's use has been beyond what would change our mind; 0: it is not
};

}  // namespace omig
