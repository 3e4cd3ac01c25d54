// SPDX-License-Identifier: Apache-2.0
// lab.json, the lock, cgroups, and how a process is known as one of the lab's.
#include "tools/omctl/lab_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "lib/base/cgroup.h"

namespace omig::lab {

namespace {

std::string errno_text(int error = errno) { return std::strerror(error); }

// "node17" -> 17, -1 for anything else.
int node_number(const std::string& text) {
  if (text.rfind("node", 0) != 0 || text.size() == 4 || text.size() > 8) return -1;
  for (char c : text.substr(4))
    if (c < '0' || c > '9') return -1;
  return std::stoi(text.substr(4));
}

}  // namespace

std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

const Node& Lab::node(const std::string& text) const {
  for (const Node& node : nodes)
    if (text == node.name() || text == std::to_string(node.id)) return node;
  throw LabError(
      fmt::format("there is no node '{}' in the lab {}: it has node1 to node{}", text, dir.string(), nodes.size()));
}

fs::path default_dir() {
  if (const char* own = getenv("OMIG_DIR"); own && *own) {
    // Inside `lab exec` OMIG_DIR is a node's: the lab is the directory above it.
    fs::path dir = own;
    if (dir.filename().empty()) dir = dir.parent_path();
    if (!has_lab(dir) && node_number(dir.filename()) > 0 && has_lab(dir.parent_path())) return dir.parent_path();
    return dir;
  }
  if (geteuid() == 0) return "/run/omig-lab";
  if (const char* runtime = getenv("XDG_RUNTIME_DIR"); runtime && *runtime) return fs::path(runtime) / "omig-lab";
  return fmt::format("/tmp/omig-lab-{}", geteuid());
}

fs::path canonical_dir(const fs::path& dir) {
  fs::path result = fs::weakly_canonical(fs::absolute(dir));
  if (result.filename().empty()) result = result.parent_path();
  return result;
}

std::string lab_tag(const fs::path& dir) {
  u64 hash = 14695981039346656037u;  // FNV-1a
  for (unsigned char c : dir.string()) hash = (hash ^ c) * 1099511628211u;
  return fmt::format("{:08x}", static_cast<u32>(hash ^ (hash >> 32)));
}

bool has_lab(const fs::path& dir) {
  std::error_code ignored;
  return fs::exists(dir / "lab.json", ignored);
}

nlohmann::json to_json(const Lab& lab) {
  auto optional = [](const std::optional<int>& value) { return value ? nlohmann::json(*value) : nlohmann::json(); };
  nlohmann::json nodes = nlohmann::json::array();
  for (const Node& node : lab.nodes)
    nodes.push_back({{"id", node.id},
                     {"name", node.name()},
                     {"address", node.address},
                     {"state_dir", node.state_dir},
                     {"cgroup", node.cgroup},
                     {"holder_pid", node.holder},
                     {"homed_pid", node.homed}});
  return {{"dir", lab.dir},
          {"mode", lab.mode == Mode::namespaces ? "namespaces" : "loopback"},
          {"ready", lab.ready},
          {"cpu_percent", lab.cpu_percents.empty() ? nlohmann::json() : nlohmann::json(lab.cpu_percents[0])},
          {"cpu_percents", lab.cpu_percents},
          {"rate_mbit", optional(lab.rate_mbit)},
          {"balance", lab.balance},
          {"cgroup", lab.cgroup},
          {"bridge_holder_pid", lab.bridge_holder},
          {"nodes", nodes}};
}

void save(const Lab& lab) {
  // By rename, so that whoever reads it (or finds it after a kill) sees a whole one.
  fs::path temporary = lab.dir / "lab.json.new";
  std::ofstream out(temporary, std::ios::trunc);
  out << to_json(lab).dump(2) << '\n';
  out.close();
  if (!out || std::rename(temporary.c_str(), lab.state_file().c_str()) != 0)
    throw LabError(fmt::format("cannot write {}: {}", lab.state_file().string(), errno_text()));
}

Lab load(const fs::path& dir) {
  auto optional = [](const nlohmann::json& value) {
    return value.is_null() ? std::nullopt : std::optional<int>(value.get<int>());
  };
  if (!has_lab(dir)) throw LabError(fmt::format("there is no lab in {}: start one with omctl lab up", dir.string()));
  try {
    nlohmann::json json = nlohmann::json::parse(read_text(dir / "lab.json"));
    Lab lab;
    lab.dir = dir;
    lab.mode = json.at("mode") == "namespaces" ? Mode::namespaces : Mode::loopback;
    lab.ready = json.at("ready");
    lab.cpu_percents = json.at("cpu_percents").get<std::vector<int>>();
    lab.rate_mbit = optional(json.at("rate_mbit"));
    lab.balance = json.value("balance", true);
    lab.cgroup = json.at("cgroup").get<std::string>();
    lab.bridge_holder = json.at("bridge_holder_pid");
    for (const nlohmann::json& entry : json.at("nodes")) {
      Node node;
      node.id = entry.at("id");
      node.address = entry.at("address");
      node.state_dir = dir / node.name();
      node.cgroup = entry.at("cgroup").get<std::string>();
      node.holder = entry.at("holder_pid");
      node.homed = entry.at("homed_pid");
      lab.nodes.push_back(node);
    }
    return lab;
  } catch (const nlohmann::json::exception& error) {
    throw LabError(fmt::format("{}/lab.json is damaged ({}): omctl lab down --dir {} clears it away", dir.string(),
                               error.what(), dir.string()));
  }
}

Lock::Lock(const fs::path& dir) {
  for (;;) {
    fd_ = Fd(open(file(dir).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd_) throw LabError(fmt::format("cannot open {}: {}", file(dir).string(), errno_text()));
    if (flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      fmt::print(stderr, "omctl lab: another lab command is at work in {}: waiting for it\n", dir.string());
      if (flock(fd_.get(), LOCK_EX) != 0)
        throw LabError(fmt::format("cannot lock {}: {}", file(dir).string(), errno_text()));
    }
    // Whoever held it before may have removed the file: then we hold the lock of nothing.
    struct stat held {
    }, named{};
    fstat(fd_.get(), &held);
    if (stat(file(dir).c_str(), &named) == 0 && held.st_ino == named.st_ino) return;
    std::error_code ignored;
    fs::create_directories(dir, ignored);
  }
}

// ---- cgroups

namespace {

struct Hierarchy {
  fs::path mount;
  bool v2 = false;
  bool cpu = false;  // v1: has the cpu controller; v2: may have
};

// The mounts that may serve: v1 hierarchies with the cpu or the pids controller, the v2 one.
std::vector<Hierarchy> hierarchies() {
  std::vector<Hierarchy> found;
  std::istringstream mounts(read_text("/proc/self/mounts"));
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string device, place, type, options;
    fields >> device >> place >> type >> options;
    if (type == "cgroup2") found.push_back({place, true, true});
    if (type != "cgroup") continue;
    const bool cpu = ("," + options + ",").find(",cpu,") != std::string::npos;
    const bool pids = ("," + options + ",").find(",pids,") != std::string::npos;
    if (cpu || pids) found.insert(found.begin(), {place, false, cpu});
  }
  return found;
}

// Our own place in the v2 hierarchy, as a path under its mount.
fs::path own_v2_cgroup(const fs::path& mount) {
  std::istringstream lines(read_text("/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);)
    if (line.rfind("0::", 0) == 0) return mount / fs::path(line.substr(3)).relative_path();
  return mount;
}

}  // namespace

std::vector<fs::path> all_cgroup_roots() {
  std::vector<fs::path> roots;
  for (const Hierarchy& each : hierarchies()) {
    roots.push_back(each.mount);
    if (!each.v2) continue;
    for (fs::path at = own_v2_cgroup(each.mount); at != each.mount && at.has_relative_path(); at = at.parent_path())
      roots.push_back(at);
  }
  return roots;
}

// Without CPU shares the lab keeps away from the cpu controller, and so from the scheduler: on Linux 6.18 a nested
// group whose threads sleep and wake all the time on several CPUs gains credit without end, and nothing else runs for
// seconds.
CgroupPlan plan_cgroups(bool cpu_shares) {
  std::string problem = cpu_shares ? "no cgroup hierarchy with the cpu controller is mounted"
                                   : "no cgroup hierarchy with the pids controller is mounted";
  for (const Hierarchy& each : hierarchies()) {
    if (!each.v2 && each.cpu != cpu_shares) continue;
    if (!each.v2) {
      if (access(each.mount.c_str(), W_OK) == 0) return {each.mount, ""};
      problem = fmt::format("{} is not writable for this user", each.mount.string());
      continue;
    }
    // Root: as high as possible. A user: the highest cgroup that was delegated to him, which is on the way up from
    // here.
    std::vector<fs::path> candidates;
    for (fs::path at = own_v2_cgroup(each.mount);; at = at.parent_path()) {
      candidates.insert(candidates.begin(), at);
      if (at == each.mount || !at.has_relative_path()) break;
    }
    for (const fs::path& candidate : candidates) {
      if (access(candidate.c_str(), W_OK) != 0 || access((candidate / "cgroup.procs").c_str(), W_OK) != 0) {
        problem = fmt::format("no cgroup was delegated to this user under {}", each.mount.string());
        continue;
      }
      if (!cpu_shares || grants_to_children(candidate, "cpu")) return {candidate, ""};
      problem = fmt::format("{} does not grant the cpu controller to its children", candidate.string());
    }
  }
  return {{}, problem};
}

std::string cgroup_name(const fs::path& dir) { return "omig-lab-" + lab_tag(dir); }

namespace {

void write_cgroup(const fs::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text << std::flush;
  if (!out) throw LabError(fmt::format("cannot write '{}' to {}: {}", text, file.string(), errno_text()));
}

void limit_cpu(const fs::path& cgroup, int cpu_percent) {
  // A short period: with the usual 100 ms a throttled node would be deaf for 60 ms at a time, and every forwarded call
  // through it would measure that instead of the program.
  long period_us = 10'000;
  while (period_us * cpu_percent / 100 < 1000) period_us *= 2;  // the kernel's least quota
  long quota_us = period_us * cpu_percent / 100;
  if (fs::exists(cgroup / "cgroup.controllers")) {
    write_cgroup(cgroup / "cpu.max", fmt::format("{} {}", quota_us, period_us));
    return;
  }
  write_cgroup(cgroup / "cpu.cfs_period_us", std::to_string(period_us));
  write_cgroup(cgroup / "cpu.cfs_quota_us", std::to_string(quota_us));
}

}  // namespace

fs::path bridge_cgroup(const Lab& lab) { return lab.cgroup.empty() ? fs::path() : lab.cgroup / "bridge"; }

void make_cgroups(const Lab& lab) {
  if (lab.cgroup.empty()) return;
  std::vector<fs::path> wanted = {lab.cgroup, bridge_cgroup(lab)};
  for (const Node& node : lab.nodes) wanted.push_back(node.cgroup);
  for (const fs::path& each : wanted) {
    if (mkdir(each.c_str(), 0755) != 0 && errno != EEXIST)
      throw LabError(fmt::format("cannot make the cgroup {}: {}", each.string(), errno_text()));
    // On v2 the lab's cgroup has to hand the controller on to the nodes'.
    if (!lab.cpu_percents.empty() && each == lab.cgroup && fs::exists(each / "cgroup.controllers"))
      grants_to_children(each, "cpu");
  }
  if (lab.cpu_percents.empty()) return;
  for (const Node& node : lab.nodes) limit_cpu(node.cgroup, lab.cpu_percent_of(node));
}

int join_cgroup(const fs::path& path, pid_t pid) {
  int fd = open((path / "cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  std::string text = std::to_string(pid);
  ssize_t written = write(fd, text.data(), text.size());
  int error = written < 0 ? errno : 0;
  close(fd);
  return -error;
}

// ---- processes

std::vector<pid_t> all_pids() {
  std::vector<pid_t> pids;
  DIR* proc = opendir("/proc");
  if (!proc) return pids;
  while (dirent* entry = readdir(proc))
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') pids.push_back(std::atoi(entry->d_name));
  closedir(proc);
  return pids;
}

std::vector<std::string> environment_of(pid_t pid) {
  std::vector<std::string> variables;
  std::istringstream text(read_text(fmt::format("/proc/{}/environ", pid)));
  for (std::string each; std::getline(text, each, '\0');) variables.push_back(each);
  return variables;
}

bool is_member(pid_t pid, const fs::path& dir) {
  const std::string prefix = "OMIG_DIR=" + (dir / "node").string();
  for (const std::string& variable : environment_of(pid))
    if (variable.rfind(prefix, 0) == 0 && node_number("node" + variable.substr(prefix.size())) >= 0) return true;
  return false;
}

Fd open_member(pid_t pid, const fs::path& dir) {
  if (pid <= 0) return {};
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (pidfd && is_member(pid, dir)) return pidfd;
  return {};
}

// ---- the control socket

std::optional<nlohmann::json> ask_homed(const fs::path& state_dir, const nlohmann::json& question,
                                        milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = (state_dir / "homed.sock").string();
  // A socket's name holds 107 bytes; a lab may lie deeper than that. The way through a descriptor is always short.
  Fd directory(open(state_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (path.size() >= sizeof address.sun_path) path = fmt::format("/proc/self/fd/{}/homed.sock", directory.get());
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
  std::string line = question.dump() + "\n";
  if (!write_all(fd.get(), line.data(), line.size(), timeout)) return {};
  std::string answer;
  for (char c = 0; answer.size() < kMaxMessageBytes;) {
    if (!read_exactly(fd.get(), &c, 1, timeout)) return {};
    if (c == '\n') break;
    answer += c;
  }
  nlohmann::json json = nlohmann::json::parse(answer, nullptr, false);
  if (json.is_discarded()) return {};
  return json;
}

int nodes_seen(const fs::path& state_dir, milliseconds timeout) {
  auto answer = ask_homed(state_dir, {{"op", "nodes"}}, timeout);
  if (!answer || !answer->is_object() || !answer->contains("nodes")) return -1;
  int seen = 0;
  for (const nlohmann::json& node : answer->at("nodes"))
    if (node.is_object() && node.value("state", "") == "up") ++seen;
  return seen;
}

pid_t living_homed(const Lab& lab, const Node& node) {
  for (pid_t pid : {static_cast<pid_t>(std::atoi(read_text(node.state_dir / "homed.pid").c_str())), node.homed})
    if (open_member(pid, lab.dir)) return pid;
  return 0;
}

}  // namespace omig::lab
