// SPDX-License-Identifier: Apache-2.0
// What an administrator allows guests: how many, of whom, how large; and that the owner's own work comes first.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "homed/guest_group.h"
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
  u32 guest_cpu = 0;        // of each, percent of a CPU
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
                                    LimitName{"guest_cpu", &Limits::guest_cpu, 5, 100'000},
                                    LimitName{"owner_load", &Limits::owner_load, 10, 100}};

// Why one more guest is too much; nothing: it is not. uid: if it is known.
std::optional<std::string> limit_reached(const Daemon& daemon, const std::string& home, std::optional<uid_t> uid,
                                         u64 rss_bytes);

// What the kernel keeps a visit of so many guests to. Of memory there is room for one more than there are: for one that
// was just born, and for what is no guest's memory but its page tables, sockets and files.
Hold hold_of(const Limits& limits, size_t guests);

// Sends home who is here against a limit, and moves the walls of visits. Looks whenever it is told to.
class Warden {
 public:
  Warden(Daemon& daemon, Moves& moves) : d_(daemon), moves_(moves) {}
  void review();

 private:
  void watch_owner();
  void hold_guests();
  awaitable<void> send_home(VisitorKey key, std::string reason);

  Daemon& d_;
  Moves& moves_;
  u32 leaving_ = 0;
  std::map<pid_t, Hold> held_;  // by host
  i64 changing_since_ms_ = 0;   // since when the owner's use has been beyond what would change our mind; 0: it is not
};

}  // namespace omig
