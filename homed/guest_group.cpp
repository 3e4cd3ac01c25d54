// SPDX-License-Identifier: Apache-2.0
#include "homed/guest_group.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "homed/node.h"
#include "homed/proc.h"
#include "lib/base/cgroup.h"

namespace omig {

namespace {

namespace fs = std::filesystem;

constexpr u32 kPeriod_us = 20'000;  // short, or a host that has used its share is deaf for long
constexpr std::string_view kName = "omig-guests-";

// Whole, in one write, as the kernel wants it. False: errno says why.
bool put(const std::string& file, const std::string& text) {
  const Fd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  return fd && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool limited(const std::string& folder) {
  const auto limit = [&](const char* file) {
    return !read_text_file(folder + file).value_or("max").starts_with("max");
  };
  return limit("/cpu.max") || limit("/memory.max") || limit("/memory.high");
}

bool make_folder(const std::string& path) { return mkdir(path.c_str(), 0755) == 0 || errno == EEXIST; }

bool set_memory(const std::string& guests, u64 bytes, bool v2) {
  if (v2) {
    put(guests + "/memory.swap.max", bytes == 0 ? "max" : "0");  // not there if the kernel has no swap
    return put(guests + "/memory.high", bytes == 0 ? "max" : std::to_string(bytes));
  }
  return put(guests + "/memory.swappiness", "0") && put(guests + "/memory.oom_control", "1") &&
         put(guests + "/memory.limit_in_bytes", bytes == 0 ? "-1" : std::to_string(bytes));
}

bool set_cpu(const std::string& visit, u32 percent, bool v2) {
  const u64 quota_us = u64{kPeriod_us} * percent / 100;
  if (v2) return put(visit + "/cpu.max", percent == 0 ? "max" : fmt::format("{} {}", quota_us, kPeriod_us));
  return put(visit + "/cpu.cfs_period_us", std::to_string(kPeriod_us)) &&
         put(visit + "/cpu.cfs_quota_us", percent == 0 ? "-1" : std::to_string(quota_us));
}

}  // namespace

GuestGroups::GuestGroups(std::string state_dir, std::string root)
    : state_dir_(std::move(state_dir)), root_(std::move(root)) {
  std::istringstream lines(read_text_file(state_dir_ + "/guest-groups").value_or(""));
  for (std::string line; std::getline(lines, line);)
    if (line.find(kName) != std::string::npos) bases_.insert(line);
}

std::vector<GuestGroups::Hierarchy> GuestGroups::hierarchies(const Hold& hold, std::string* why_not) const {
  std::vector<Hierarchy> found;
  // Returns why there is none; empty: there is.
  const auto find = [&](const char* controller, bool Hierarchy::*which) -> std::string {
    if (const auto v1 = cgroup_folders(root_, controller); !v1.empty()) {
      if (access(v1.front().c_str(), W_OK) != 0) return fmt::format("homed may not make cgroups in {}", v1.front());
      found.push_back({v1.front()});
      found.back().*which = true;
      return "";
    }
    std::string reason = fmt::format("no cgroups with the {} controller here", controller);
    for (const std::string& folder : cgroup_folders(root_, "")) {
      if (grants_to_children(folder, controller) && access(folder.c_str(), W_OK) == 0) {
        if (found.empty() || found.back().parent != folder) found.push_back({folder, true});
        found.back().*which = true;
        return "";
      }
      reason = fmt::format("homed can make no cgroup with the {} controller in {}", controller, folder);
      if (limited(folder)) break;  // further up its guests would escape that
    }
    return reason;
  };
  if (hold.bytes != 0) *why_not += find("memory", &Hierarchy::memory);
  if (hold.cpu_percent != 0) *why_not += find("cpu", &Hierarchy::cpu);
  return found;
}

std::string GuestGroups::why_not(const Hold& hold) const {
  std::string reason;
  hierarchies(hold, &reason);
  return reason;
}

bool GuestGroups::note_folders() const {
  std::string text;
  for (const std::string& base : bases_) text += base + "\n";
  return replace_file(state_dir_ + "/guest-groups", text);
}

std::optional<GuestGroups::Room> GuestGroups::make(const Hold& hold, std::string* error) {
  Room room;
  std::string ignored;  // change_settings has said it to who set the limit
  const std::vector<Hierarchy> where = hierarchies(hold, &ignored);
  const auto base_in = [](const Hierarchy& each) { return fmt::format("{}/{}{}", each.parent, kName, getpid()); };
  std::string visit_name;
  const auto is_taken = [&](const Hierarchy& each) { return fs::exists(base_in(each) + visit_name); };
  do visit_name = fmt::format("/visit-{}", ++visits_);
  while (std::ranges::any_of(where, is_taken));  // by a guest of an earlier homed of the same number
  const auto failed = [&](const std::string& what) {
    *error = fmt::format("cannot make a cgroup for a guest: {}: {}", what, std::strerror(errno));
    return std::nullopt;
  };
  for (const Hierarchy& each : where) {
    const std::string base = base_in(each);
    if (bases_.insert(base).second && !note_folders()) return failed(state_dir_ + "/guest-groups");
    const std::string visit = base + visit_name, guests = visit + "/guests", host = visit + "/host";
    if (!make_folder(base)) return failed(base);
    const auto grant = [&](const std::string& folder) {
      return !each.v2 || ((!each.memory || grants_to_children(folder, "memory")) &&
                          (!each.cpu || grants_to_children(folder, "cpu")));
    };
    if (!grant(base)) return failed(base + "/cgroup.subtree_control");
    if (!make_folder(visit) || !grant(visit)) return failed(visit);
    if (!make_folder(guests) || !make_folder(host)) return failed(guests);
    if (each.memory && !set_memory(guests, hold.bytes, each.v2)) return failed(guests);
    if (each.cpu && !set_cpu(visit, hold.cpu_percent, each.v2)) return failed(visit);
    for (const auto& [folder, fds] : {std::pair{host, &room.host}, {guests, &room.guests}}) {
      fds->emplace_back(
          open((folder + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC | (root_.empty() ? 0 : O_CREAT), 0600));
      if (!fds->back()) return failed(folder + "/cgroup.procs");
    }
  }
  return room;
}

std::optional<GuestGroups::Place> GuestGroups::place_of(pid_t guest, const std::string& controller) const {
  for (const bool v2 : {false, true}) {
    const auto folders = cgroup_folders(root_, v2 ? "" : controller, std::to_string(guest));
    if (folders.size() < 2 || folders.front().find(kName) == std::string::npos) continue;
    const std::string &guests = folders[0], &visit = folders[1];
    if (fs::exists(controller == "memory" ? guests + (v2 ? "/memory.high" : "/memory.limit_in_bytes")
                                          : visit + (v2 ? "/cpu.max" : "/cpu.cfs_quota_us")))
      return Place{visit, guests, v2};
  }
  return std::nullopt;
}

bool GuestGroups::hold(pid_t guest, const Hold& hold) const {
  const auto memory = place_of(guest, "memory"), cpu = place_of(guest, "cpu");
  return (memory || cpu) && (!memory || set_memory(memory->guests, hold.bytes, memory->v2)) &&
         (!cpu || set_cpu(cpu->visit, hold.cpu_percent, cpu->v2));
}

bool GuestGroups::at_wall(pid_t guest) const {
  const auto place = place_of(guest, "memory");
  if (!place) return false;
  if (!place->v2) return number_in_stat(place->guests + "/memory.oom_control", "under_oom").value_or(0) != 0;
  const auto wall = number_in_file(place->guests + "/memory.high");
  const auto used = number_in_file(place->guests + "/memory.current");
  return wall && used && *used >= *wall;
}

void GuestGroups::sweep() {
  const auto removed = [](const std::string& folder) { return rmdir(folder.c_str()) == 0 || errno == ENOENT; };
  std::set<std::string> left;
  for (const std::string& base : bases_) {
    std::error_code none;
    const bool ours = base.ends_with(fmt::format("{}{}", kName, getpid()));  // stays for the next visit
    for (const auto& entry : fs::directory_iterator(base, none)) {
      const std::string visit = entry.path();
      // The host first: a visit that begins has nobody among its guests yet.
      if (entry.is_directory(none) && removed(visit + "/host") && removed(visit + "/guests")) rmdir(visit.c_str());
    }
    if (ours || !removed(base)) left.insert(base);
  }
  if (left == bases_) return;
  bases_ = std::move(left);
  note_folders();
}

}  // namespace omig
