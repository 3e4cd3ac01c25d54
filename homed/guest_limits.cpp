// SPDX-License-Identifier: Apache-2.0
#include "homed/guest_limits.h"

#include <algorithm>

#include "homed/daemon.h"
#include "homed/moves.h"
#include "homed/scheduler.h"

namespace omig {

namespace {

constexpr u32 kMostLeaving = 2;       // at a time, or all would take as long as all together
constexpr i64 kSustained_ms = 3'000;  // a burst of the owner's sends nobody away
constexpr u64 kBesides = 64u << 20;   // of memory, what a visit may have besides its guests'; and how far a wall moves
constexpr double kAllClear = 0.8;     // of the limit, until guests may come again

// Percent of the CPUs that are used, and not by guests.
double owner_use(const Daemon& d) {
  double guests = 0;
  for (const auto& [key, v] : d.visitors.all()) guests += v.cpu_per_s;
  return 100 * std::max(0.0, d.utilisation - guests / d.config.cpus);
}

template <class Which>
u32 count(const Daemon& d, Which which) {
  u32 found = 0;
  for (const auto& [key, v] : d.visitors.all()) found += which(key, v);
  return found;
}

std::string most(const Daemon& d, const char* limit, u32 allowed, const std::string& of) {
  return fmt::format("{} takes {} guest{}{} at most (omctl set {})", d.config.name, allowed, allowed == 1 ? "" : "s",
                     of, limit);
}

}  // namespace

std::optional<std::string> limit_reached(const Daemon& d, const std::string& home, std::optional<uid_t> uid,
                                         u64 rss_bytes) {
  const Limits& limits = d.settings.limits;
  if (d.owner_needs_it) return fmt::format("{} is needed by who works there (omctl set owner_load)", d.config.name);
  if (limits.guest_mb != 0 && rss_bytes >> 20 >= limits.guest_mb)
    return fmt::format("{} takes no guest with more than {} MiB (omctl set guest_mb)", d.config.name, limits.guest_mb);
  if (limits.guests != 0 && d.visitors.all().size() >= limits.guests) return most(d, "guests", limits.guests, "");
  const auto of_home = [&](const VisitorKey& key, const Visitor&) { return key.home == home; };
  if (limits.guests_per_home != 0 && count(d, of_home) >= limits.guests_per_home)
    return most(d, "guests_per_home", limits.guests_per_home, " of " + home);
  const auto of_user = [&](const VisitorKey& key, const Visitor& v) { return key.home == home && v.uid == uid; };
  if (limits.guests_per_user != 0 && uid && count(d, of_user) >= limits.guests_per_user)
    return most(d, "guests_per_user", limits.guests_per_user, fmt::format(" of user {} of {}", *uid, home));
  return std::nullopt;
}

Hold hold_of(const Limits& limits, size_t guests) {
  Hold hold;
  if (limits.guest_mb != 0) hold.bytes = (u64{limits.guest_mb} << 20) * (guests + 1) + kBesides;
  hold.cpu_percent = static_cast<u32>(limits.guest_cpu * guests);
  return hold;
}

// Whoever is at the wall cannot be stopped and sent home before it has what it waits for: while a guest is on its way
// the wall moves a little with every look.
void Warden::hold_guests() {
  const Limits& limits = d_.settings.limits;
  if (limits.guest_mb == 0 && limits.guest_cpu == 0 && held_.empty()) return;
  struct Visit {
    size_t guests = 0;
    pid_t guest = 0;
    bool moving = false;
  };
  std::map<pid_t, Visit> visits;
  for (const auto& [key, v] : d_.visitors.all()) {
    Visit& visit = visits[v.host_pid];
    ++visit.guests;
    visit.guest = v.local_pid;
    visit.moving |= d_.moving.contains(key);
  }
  std::erase_if(held_, [&](const auto& item) { return !visits.contains(item.first); });
  for (const auto& [host, visit] : visits) {
    Hold hold = hold_of(limits, visit.guests);
    const auto before = held_.find(host);
    if (visit.moving && before != held_.end() && hold.bytes != 0) hold.bytes = before->second.bytes + kBesides;
    if (before != held_.end() && before->second == hold) continue;
    if (d_.groups.hold(visit.guest, hold)) held_[host] = hold;
  }
}

void Warden::watch_owner() {
  const u32 limit = d_.settings.limits.owner_load;
  if (limit == 0) {
    d_.owner_needs_it = false;
    return;
  }
  const double use = owner_use(d_);
  const bool other = d_.owner_needs_it ? use < kAllClear * limit : use >= limit;
  if (!other) changing_since_ms_ = 0;
  if (!other) return;
  const i64 now = now_ms();
  if (changing_since_ms_ == 0) changing_since_ms_ = now;
  if (now - changing_since_ms_ < kSustained_ms) return;
  changing_since_ms_ = 0;
  d_.owner_needs_it = !d_.owner_needs_it;
  log("owner_load: {:.0f}% of the CPUs used, guests not counted: {}", use,
      d_.owner_needs_it ? "guests go home" : "guests may come again");
}

void Warden::review() {
  watch_owner();
  hold_guests();
  const Limits& limits = d_.settings.limits;
  for (const auto& [key, v] : d_.visitors.all()) {
    if (leaving_ >= kMostLeaving) return;
    const bool stands_still = limits.guest_mb != 0 && d_.groups.at_wall(v.local_pid);
    const bool too_large = stands_still || (limits.guest_mb != 0 && v.rss_bytes >> 20 >= limits.guest_mb);
    if ((!too_large && !d_.owner_needs_it) || d_.moving.contains(key)) continue;
    if (v.barred_until_ms > now_ms() && !stands_still) continue;
    ++leaving_;
    spawn(d_, "sending home by a limit",
          send_home(key, too_large ? fmt::format("it has {} MiB, {} are allowed here (guest_mb)", v.rss_bytes >> 20,
                                                 limits.guest_mb)
                                   : "the node is needed by who works there (owner_load)"));
  }
}

awaitable<void> Warden::send_home(VisitorKey key, std::string reason) {
  cluster::MoveDecision decision;
  decision.pid = key.pid;
  if (const cluster::Seen* home = d_.window.find(key.home)) decision.target_id = home->entry.id;
  MoveRecord record = record_of(d_, decision, key, "limit", std::move(reason));
  const MoveResult result = co_await moves_.send_home(key);
  d_.history.add(concluded(std::move(record), result));
  --leaving_;
}

}  // namespace omig
