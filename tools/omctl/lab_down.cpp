// SPDX-License-Identifier: Apache-2.0
// `lab down`: everything of a lab ends, whoever has died before.
//
// It trusts no list. Processes are found by two marks that a lab's process cannot lose by accident: it is in one of the
// lab's cgroups (inherited by every child, whatever it does to its environment), or its initial environment has the
// OMIG_DIR of a node. Cgroups are found by their name, which follows from DIR. Network, mount and UTS namespaces have
// no names and no files: they go with the last process in them. Then the files; lab.json is the last one, so that a
// `down` which is killed itself can be repeated.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "tools/omctl/lab_state.h"

namespace omig::lab {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kEndLimit{15};

// The folder, if it exists, and all below it.
void add_tree(const fs::path& top, std::vector<fs::path>& found) {
  std::error_code gone;
  if (!fs::is_directory(top, gone)) return;
  found.push_back(top);
  for (auto at = fs::recursive_directory_iterator(top, gone); at != fs::recursive_directory_iterator();
       at.increment(gone)) {
    if (gone) break;
    if (at->is_directory(gone)) found.push_back(at->path());
  }
}

// The lab's cgroups that exist, children before their parents.
std::vector<fs::path> lab_cgroups(const fs::path& dir) {
  std::vector<fs::path> found;
  for (const fs::path& root : all_cgroup_roots()) add_tree(root / cgroup_name(dir), found);
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  std::reverse(found.begin(), found.end());  // a path sorts before what lies below it
  return found;
}

std::set<pid_t> cgroup_members(const fs::path& cgroup) {
  std::set<pid_t> pids;
  std::istringstream lines(read_text(cgroup / "cgroup.procs"));
  for (pid_t pid; lines >> pid;) pids.insert(pid);
  return pids;
}

// The state letter and the parent, from /proc/PID/stat.
std::pair<char, pid_t> state_and_parent(pid_t pid) {
  std::string text = read_text(fmt::format("/proc/{}/stat", pid));
  size_t end = text.rfind(')');
  char state = 0;
  pid_t parent = 0;
  if (end != std::string::npos) std::sscanf(text.c_str() + end + 1, " %c %d", &state, &parent);
  return {state, parent};
}

bool ended(pid_t pid) {
  char state = state_and_parent(pid).first;
  return state == 0 || state == 'Z' || state == 'X';
}

// Whoever called us, up to init: a shell that itself was given the node's OMIG_DIR shall not lose its life by asking.
std::set<pid_t> ancestors() {
  std::set<pid_t> found = {getpid()};
  for (pid_t at = getppid(); at > 1 && found.insert(at).second;) at = state_and_parent(at).second;
  return found;
}

// Kills what bears one of the lab's marks now. The pids that were still there.
std::set<pid_t> kill_round(const fs::path& dir, const std::vector<fs::path>& cgroups, const std::set<pid_t>& spared) {
  std::set<pid_t> there;
  auto kill_it = [&](pid_t pid, auto&& still_marked) {
    Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    // Looked at again with the pidfd in hand: from here on it cannot be anybody else.
    if (!pidfd || !still_marked() || ended(pid)) return;
    there.insert(pid);
    syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  };
  for (const fs::path& cgroup : cgroups)
    for (pid_t pid : cgroup_members(cgroup))
      if (pid != getpid()) kill_it(pid, [&] { return cgroup_members(cgroup).contains(pid); });
  for (pid_t pid : all_pids())
    if (!spared.contains(pid) && !there.contains(pid) && is_member(pid, dir))
      kill_it(pid, [&] { return is_member(pid, dir); });
  return there;
}

// Until a look finds nobody. New ones may be forked behind the look, so one clean look has to follow the last kill.
std::vector<std::string> end_processes(const fs::path& dir) {
  std::vector<fs::path> cgroups = lab_cgroups(dir);
  std::set<pid_t> spared = ancestors();
  auto limit = Clock::now() + kEndLimit;
  std::set<pid_t> there;
  while (!(there = kill_round(dir, cgroups, spared)).empty()) {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {  // those that `up` started itself
    }
    if (Clock::now() > limit) break;
    // Their ends are awaited, all together, before the next look.
    std::vector<Fd> pidfds;
    std::vector<pollfd> polls;
    for (pid_t pid : there) {
      pidfds.emplace_back(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
      if (pidfds.back()) polls.push_back({pidfds.back().get(), POLLIN, 0});
    }
    auto left = std::chrono::duration_cast<milliseconds>(limit - Clock::now()).count();
    for (pollfd& each : polls) poll(&each, 1, static_cast<int>(std::max<long>(left / 4, 1)));
  }
  std::vector<std::string> complaints;
  for (pid_t pid : there)
    complaints.push_back(
        fmt::format("process {} ({}) does not end", pid, read_text(fmt::format("/proc/{}/comm", pid)).substr(0, 15)));
  return complaints;
}

// What the nodes' homeds have made for their guests (homed/guest_group.h): BASE/VISIT/{host,guests}.
// Children before their parents.
std::vector<fs::path> guest_groups(const fs::path& dir) {
  std::vector<fs::path> found;
  for (int id = 1; id <= kMaxNodes; ++id) {
    std::istringstream lines(read_text(dir / fmt::format("node{}", id) / "guest-groups"));
    for (std::string base; std::getline(lines, base);)
      if (base.find("/omig-guests-") != std::string::npos) add_tree(base, found);
  }
  std::reverse(found.begin(), found.end());
  return found;
}

// A directory of an ended process may stay busy until the kernel is done with its death.
void remove_cgroups(const fs::path& dir, std::vector<std::string>& complaints) {
  auto limit = Clock::now() + std::chrono::seconds(5);
  std::vector<fs::path> all = guest_groups(dir);
  for (const fs::path& cgroup : lab_cgroups(dir)) all.push_back(cgroup);
  for (const fs::path& cgroup : all) {
    while (rmdir(cgroup.c_str()) != 0 && errno != ENOENT) {
      if (errno != EBUSY || Clock::now() > limit) {
        complaints.push_back(fmt::format("cannot remove the cgroup {}: {}", cgroup.string(), std::strerror(errno)));
        break;
      }
      poll(nullptr, 0, 5);  // the interval of asking again, not a guess at how long it takes
    }
  }
}

void unmount_below(const fs::path& dir, std::vector<std::string>& complaints) {
  std::vector<std::string> places;
  std::istringstream lines(read_text("/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, place;
    fields >> id >> parent >> device >> root >> place;
    if (place.rfind(dir.string() + "/", 0) == 0) places.push_back(place);
  }
  std::reverse(places.begin(), places.end());
  for (const std::string& place : places)
    if (umount2(place.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0)
      complaints.push_back(fmt::format("cannot unmount {}: {}", place, std::strerror(errno)));
}

// Only names that `up` makes, so that a mistaken --dir costs nobody a file.
void remove_files(const fs::path& dir, std::vector<std::string>& complaints) {
  std::vector<fs::path> ours = {dir / "private"};
  for (int id = 0; id <= kMaxNodes; ++id) ours.push_back(dir / fmt::format("node{}", id));
  for (const fs::path& each : ours) {
    std::error_code error;
    fs::remove_all(each, error);
    if (error) complaints.push_back(fmt::format("cannot remove {}: {}", each.string(), error.message()));
  }
}

// Was this directory ever taken for a lab? `up` makes the lock file first and lab.json before anything else.
bool is_lab(const fs::path& dir) {
  std::error_code ignored;
  return has_lab(dir) || fs::exists(Lock::file(dir), ignored);
}

}  // namespace

std::vector<std::string> dismantle(const fs::path& dir) {
  // Called from inside the lab (omctl lab exec 1 -- omctl lab down), we would keep the node's cgroup busy ourselves.
  for (const fs::path& cgroup : lab_cgroups(dir))
    if (cgroup_members(cgroup).contains(getpid())) {
      fs::path outside = cgroup;
      while (outside.filename() != cgroup_name(dir)) outside = outside.parent_path();
      join_cgroup(outside.parent_path(), getpid());
    }
  std::vector<std::string> complaints = end_processes(dir);
  if (!complaints.empty()) return complaints;  // what still runs keeps its files
  remove_cgroups(dir, complaints);
  unmount_below(dir, complaints);
  if (!is_lab(dir)) return complaints;
  if (has_lab(dir)) remove_files(dir, complaints);
  if (!complaints.empty()) return complaints;
  std::error_code ignored;
  for (const char* name : {"lab.json.new", "lab.json", "lab.lock"}) fs::remove(dir / name, ignored);
  fs::remove(dir, ignored);  // stays if something else is in it
  return {};
}

int down(const Options& options) {
  // The shell that runs us may be one of the lab's: its end must not be ours.
  signal(SIGHUP, SIG_IGN);
  std::optional<Lock> lock;
  if (is_lab(options.dir))
    lock.emplace(options.dir);
  else
    // Processes and cgroups of a lab whose directory somebody removed are still looked for.
    fmt::print(stderr, "omctl lab: there is no lab in {}\n", options.dir.string());
  std::vector<std::string> complaints = dismantle(options.dir);
  for (const std::string& each : complaints) fmt::print(stderr, "omctl lab down: {}\n", each);
  return complaints.empty() ? 0 : 1;
}

}  // namespace omig::lab
