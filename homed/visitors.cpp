// SPDX-License-Identifier: Apache-2.0
#include "homed/visitors.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "homed/log.h"

namespace omig {

namespace {

constexpr i64 kAskEvery_ms = 500;
constexpr milliseconds kAskTimeout{5'000};
constexpr i64 kUnlistedFor_ms = 8'000;  // a host that does not answer that long: its guests are not counted

}  // namespace

Visitors::Visitors(asio::io_context& io, std::string state_dir)
    : io_(io), directory_(std::move(state_dir) + "/hosts") {}

void Visitors::find_hosts() {
  std::vector<pid_t> files;
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(directory_, ignored)) {
    const pid_t pid = std::atoi(file.path().stem().c_str());
    if (file.path().extension() == ".json" && pid > 0) files.push_back(pid);
  }
  std::erase_if(hosts_, [&](const auto& item) { return std::ranges::find(files, item.first) == files.end(); });
  for (const pid_t pid : files) {
    const std::string path = directory_ + "/" + std::to_string(pid) + ".json";
    const auto stat = read_stat(pid);
    if (!stat || stat->name != "omig-host") {
      // It was killed before it could clean up (and its number may be another process' by now).
      unlink(path.c_str());
      hosts_.erase(pid);
      continue;
    }
    if (hosts_.contains(pid)) continue;
    const Json json = Json::parse(read_text_file(path, 1 << 16).value_or(""), nullptr, false);
    if (!json.is_object()) continue;  // being written; next time
    Host host;
    const auto at = Endpoint::parse(text_field(json, "address") + ":" + std::to_string(field<u32>(json, "port", 0)));
    if (!at || !hex_decode(text_field(json, "token"), host.address.token.data(), host.address.token.size())) {
      log("hosts/{}.json: not understood, ignored", pid);
      continue;
    }
    host.address.at = *at;
    hosts_[pid] = host;
  }
}

void Visitors::scan(i64 now_ms) {
  find_hosts();
  for (auto& [pid, host] : hosts_) {
    if (host.asking || now_ms - host.asked_ms < kAskEvery_ms) continue;
    host.asking = true;
    host.asked_ms = now_ms;
    asio::co_spawn(io_, ask(pid), asio::detached);
  }
  std::erase_if(visitors_, [&](const auto& item) {
    return !hosts_.contains(item.second.host_pid) || now_ms - item.second.listed_ms > kUnlistedFor_ms;
  });
  for (auto& [key, visitor] : visitors_) sample(visitor, now_ms);
}

awaitable<void> Visitors::refresh() {
  find_hosts();
  std::erase_if(visitors_, [&](const auto& item) { return !hosts_.contains(item.second.host_pid); });
  std::vector<pid_t> pids;
  for (const auto& [pid, host] : hosts_)
    if (!host.asking) pids.push_back(pid);
  for (const pid_t pid : pids) {
    const auto it = hosts_.find(pid);
    if (it == hosts_.end() || it->second.asking) continue;
    it->second.asking = true;
    it->second.asked_ms = now_ms();
    co_await ask(pid);
  }
}

awaitable<void> Visitors::ask(pid_t host_pid) {
  const HostAddress address = hosts_.at(host_pid).address;
  Json request;
  request["op"] = "list";
  const auto answer = co_await command_host(address, request, kAskTimeout);
  const auto it = hosts_.find(host_pid);
  if (it == hosts_.end()) co_return;
  it->second.asking = false;
  if (answer) take_list(host_pid, *answer, now_ms());
}

void Visitors::take_list(pid_t host_pid, const Json& answer, i64 now_ms) {
  const auto guests = answer.find("guests");
  if (guests == answer.end() || !guests->is_array()) return;
  for (const Json& guest : *guests) {
    if (!guest.is_object()) continue;
    std::string home = text_field(guest, "home_node");
    if (home.empty()) home = text_field(guest, "home");
    const VisitorKey key{home, field<i32>(guest, "pid", 0)};
    if (key.pid <= 0) continue;
    auto it = visitors_.find(key);
    if (it == visitors_.end() || it->second.host_pid != host_pid) {
      Visitor fresh;
      fresh.pid = key.pid;
      fresh.home = home;
      fresh.host_pid = host_pid;
      const auto kept = reservations_.find(key);
      // A forked guest comes with no reservation; it is believed to be busy as well until it is seen idle.
      fresh.meter = cluster::DemandMeter(kept == reservations_.end() ? 1.0 : kept->second.demand);
      if (kept != reservations_.end()) reservations_.erase(kept);
      fresh.sampled_ms = now_ms;
      it = visitors_.insert_or_assign(key, fresh).first;
    }
    Visitor& v = it->second;
    const i64 elapsed_ms = v.listed_ms == 0 ? 0 : now_ms - v.listed_ms;
    const u64 cpu_ms = field<u64>(guest, "cpu_ms", 0);
    const u64 calls = field<u64>(guest, "calls", 0);
    if (elapsed_ms > 0) {
      const double rate =
          1000.0 * static_cast<double>(calls - std::min(calls, v.calls)) / static_cast<double>(elapsed_ms);
      const double used = static_cast<double>(cpu_ms - std::min(cpu_ms, v.cpu_ms)) / static_cast<double>(elapsed_ms);
      v.calls_per_s += 0.5 * (rate - v.calls_per_s);
      v.cpu_per_s += 0.5 * (used - v.cpu_per_s);
      if (v.local_pid == 0) v.meter.sample(used, elapsed_ms);
    }
    v.threads = field<u32>(guest, "threads", 1);
    v.cpu_ms = cpu_ms;
    v.calls = calls;
    v.rss_bytes = field<u64>(guest, "rss_bytes", 0);
    v.command = text_field(guest, "command");
    v.uid = field<uid_t>(guest, "uid", 0);
    v.since_ms = field<u64>(guest, "since_ms", 0);
    v.image_bytes = field<u64>(guest, "image_bytes", 0);
    v.image_us = field<u64>(guest, "image_us", 0);
    v.image_holds = field<bool>(guest, "image_holds", true);
    v.moves = field<u32>(guest, "moves", 1);
    v.listed_ms = now_ms;
    v.local_pid = field<pid_t>(guest, "guest_pid", 0);
    v.job = cluster::job_from(text_field(guest, "job"));
  }
  std::erase_if(visitors_,
                [&](const auto& item) { return item.second.host_pid == host_pid && item.second.listed_ms != now_ms; });
}

void Visitors::sample(Visitor& v, i64 now_ms) {
  if (v.local_pid == 0) return;
  const auto stat = read_stat(v.local_pid);
  if (!stat) {
    // Ended: its host will say so within half a second, but the CPU is free now.
    v.local_pid = 0;
    v.meter = cluster::DemandMeter(0);
    return;
  }
  double runnable = stat->state == 'R' ? 1 : 0;
  if (stat->threads > 1) {
    runnable = 0;
    for (const pid_t tid : list_tids(v.local_pid)) {
      const auto thread = read_thread_stat(v.local_pid, tid);
      if (thread && thread->state == 'R') runnable += 1;
    }
  }
  v.meter.sample(runnable, now_ms - v.sampled_ms);
  v.sampled_ms = now_ms;
}

std::vector<VisitorKey> Visitors::find(i32 pid) const {
  std::vector<VisitorKey> keys;
  for (const auto& [key, visitor] : visitors_)
    if (key.pid == pid) keys.push_back(key);
  return keys;
}

const HostAddress* Visitors::host_of(pid_t host_pid) const {
  const auto it = hosts_.find(host_pid);
  return it == hosts_.end() ? nullptr : &it->second.address;
}

void Visitors::reserve(const VisitorKey& key, double demand, u64 bytes, i64 until_ms) {
  reservations_[key] = {demand, bytes, until_ms, 0};
}

void Visitors::host_started(const VisitorKey& key, pid_t host_pid, i64 now_ms) {
  Reservation& r = reservations_[key];
  r.host_pid = host_pid;
  r.until_ms = now_ms;
}

void Visitors::review_reservations(const std::function<bool(pid_t)>& running,
                                   const std::function<bool(const VisitorKey&)>& settled, i64 now_ms) {
  std::erase_if(reservations_, [&](const auto& item) {
    const Reservation& r = item.second;
    return settled(item.first) || (r.host_pid != 0 ? !running(r.host_pid) : now_ms > r.until_ms);
  });
}

u64 Visitors::reserved_bytes(i64 now_ms) const {
  u64 sum = 0;
  for (const auto& [key, r] : reservations_)
    if (r.host_pid != 0 || now_ms <= r.until_ms) sum += r.bytes;
  return sum;
}

bool Visitors::arriving() const {
  return std::ranges::any_of(reservations_, [](const auto& item) { return item.second.host_pid != 0; });
}

double Visitors::reserved(i64 now_ms) const {
  double sum = 0;
  for (const auto& [key, r] : reservations_)
    if (r.host_pid != 0 || now_ms <= r.until_ms) sum += r.demand;
  return sum;
}

}  // namespace omig
