// SPDX-License-Identifier: Apache-2.0
#include "homed/node.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <sstream>
#include <vector>

#include "homed/proc.h"

namespace omig {

namespace {

std::optional<double> number_in(std::string_view text) {
  double value = 0;
  const auto [next, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{}) return std::nullopt;
  return value;
}

// Where a cgroup v1 controller, or v2 (controller empty), is mounted; empty: nowhere.
std::string cgroup_mount(const std::string& root, const std::string& controller) {
  std::istringstream lines(read_text_file(root + "/proc/self/mounts").value_or(""));
  std::string device, path, type, options, rest;
  while (lines >> device >> path >> type >> options && std::getline(lines, rest)) {
    if (controller.empty() && type == "cgroup2") return path;
    if (!controller.empty() && type == "cgroup" &&
        ("," + options + ",").find("," + controller + ",") != std::string::npos)
      return path;
  }
  return "";
}

// How many CPUs a list like "0-3,8" names; nothing: none.
std::optional<double> count_list(const std::optional<std::string>& list) {
  std::istringstream parts(list.value_or(""));
  double count = 0;
  for (std::string part; std::getline(parts, part, ',');) {
    const auto first = number_in(part);
    const size_t dash = part.find('-');
    const auto last = dash == std::string::npos ? first : number_in(std::string_view(part).substr(dash + 1));
    if (!first || !last || *last < *first) return std::nullopt;
    count += *last - *first + 1;
  }
  return count > 0 ? std::optional(count) : std::nullopt;
}

double cpuset_cpus(const std::string& root) {
  double cpus = INFINITY;
  for (const std::string& folder : cgroup_folders(root, "cpuset"))
    for (const char* name : {"/cpuset.effective_cpus", "/cpuset.cpus"})
      cpus = std::min(cpus, count_list(read_text_file(folder + name)).value_or(INFINITY));
  for (const std::string& folder : cgroup_folders(root, ""))
    cpus = std::min(cpus, count_list(read_text_file(folder + "/cpuset.cpus.effective")).value_or(INFINITY));
  return cpus;
}

u64 field_bytes(const std::string& text, const char* name, u64 unit) {
  u64 value = 0;
  const std::string_view field = status_field(text, name);
  std::from_chars(field.data(), field.data() + field.size(), value);
  return value * unit;
}

// "some avg10=1.23 ..." of /proc/pressure/memory or a cgroup's memory.pressure, as a share.
double stalled_in(const std::optional<std::string>& text) {
  constexpr std::string_view kBefore = "some avg10=";
  const size_t at = text ? text->find(kBefore) : std::string::npos;
  if (at == std::string::npos) return 0;
  return number_in(std::string_view(*text).substr(at + kBefore.size())).value_or(0) / 100;
}

// One number before Linux 5.9, two since.
u64 refaults_in(const std::string& path, const std::string& prefix) {
  double sum = 0;
  for (const char* kind : {"workingset_refault", "workingset_refault_anon", "workingset_refault_file"})
    sum += number_in_stat(path, prefix + kind).value_or(0);
  return static_cast<u64>(sum);
}

}  // namespace

std::vector<std::string> cgroup_folders(const std::string& root, const std::string& controller,
                                        const std::string& process) {
  std::vector<std::string> folders;
  const std::string mount = cgroup_mount(root, controller);
  if (mount.empty()) return folders;
  std::istringstream lines(read_text_file(root + "/proc/" + process + "/cgroup").value_or(""));
  std::string line;
  while (std::getline(lines, line)) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool ours = controller.empty() ? names == ",," : names.find("," + controller + ",") != std::string::npos;
    if (!ours) continue;
    for (std::string path = line.substr(second + 1);; path = path.substr(0, path.rfind('/'))) {
      folders.push_back(root + mount + (path == "/" ? "" : path));
      if (path.empty() || path == "/") return folders;
    }
  }
  return folders;
}

std::optional<double> number_in_file(const std::string& path) {
  const auto text = read_text_file(path);
  return text ? number_in(*text) : std::nullopt;
}

std::optional<double> number_in_stat(const std::string& path, const std::string& name) {
  const std::string text = "\n" + read_text_file(path).value_or("");
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? std::nullopt : number_in(std::string_view(text).substr(at + name.size() + 2));
}

QuotaFolder quota_folder(const std::string& root) {
  QuotaFolder tightest{"", INFINITY};
  const auto limit_by = [&](const std::string& folder, std::optional<double> quota, std::optional<double> period) {
    if (quota && period && *quota > 0 && *period > 0 && *quota / *period < tightest.cpus)
      tightest = {folder, *quota / *period};
  };
  for (const std::string& folder : cgroup_folders(root, "cpu"))
    limit_by(folder, number_in_file(folder + "/cpu.cfs_quota_us"), number_in_file(folder + "/cpu.cfs_period_us"));
  for (const std::string& folder : cgroup_folders(root, "")) {
    const std::string text = read_text_file(folder + "/cpu.max").value_or("max");  // "QUOTA PERIOD" or "max PERIOD"
    const size_t space = text.find(' ');
    limit_by(folder, number_in(text),
             space == std::string::npos ? std::nullopt : number_in(std::string_view(text).substr(space + 1)));
  }
  return tightest;
}

double usable_cpus(const std::string& root) {
  cpu_set_t set;
  CPU_ZERO(&set);
  double cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  if (!root.empty()) cpus = INFINITY;  // planted files do not describe our own affinity
  cpus = std::min({cpus, cpuset_cpus(root), quota_folder(root).cpus});
  return std::isinf(cpus) ? 1 : std::max(cpus, 0.01);
}

Memory memory_now(const std::string& root) {
  Memory memory;
  const std::string text = read_text_file(root + "/proc/meminfo").value_or("");
  memory.total_bytes = field_bytes(text, "MemTotal", 1024);
  memory.free_bytes = field_bytes(text, "MemAvailable", 1024);
  memory.real_free_bytes = field_bytes(text, "MemFree", 1024);
  const auto pressure = read_text_file(root + "/proc/pressure/memory");
  memory.has_psi = pressure && pressure->starts_with("some ");
  memory.stalled = stalled_in(pressure);
  if (!memory.has_psi) memory.refaults = refaults_in(root + "/proc/vmstat", "");
  const auto limit_by = [&](const std::string& folder, const char* limit_name, const char* use_name,
                            const char* cache_name, const char* refaults_prefix) {
    const auto limit = number_in_file(folder + limit_name);
    const auto use = number_in_file(folder + use_name);
    if (!limit || !use || *limit <= 0 || *limit >= static_cast<double>(memory.total_bytes)) return;
    const double cache = number_in_stat(folder + "/memory.stat", cache_name).value_or(0);
    memory.total_bytes = static_cast<u64>(*limit);
    memory.free_bytes =
        std::min(memory.free_bytes, static_cast<u64>(std::max(0.0, *limit - *use + std::min(cache, *use))));
    memory.real_free_bytes = std::min(memory.real_free_bytes, static_cast<u64>(std::max(0.0, *limit - *use)));
    memory.stalled = std::max(memory.stalled, stalled_in(read_text_file(folder + "/memory.pressure")));
    if (!memory.has_psi) memory.refaults = refaults_in(folder + "/memory.stat", refaults_prefix);
  };
  for (const std::string& folder : cgroup_folders(root, "memory"))
    limit_by(folder, "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file", "total_");
  for (const std::string& folder : cgroup_folders(root, ""))
    limit_by(folder, "/memory.max", "/memory.current", "inactive_file", "");
  return memory;
}

const std::set<std::string>& cpu_features() {
  static const std::set<std::string> features = [] {
    std::set<std::string> names;
    const std::string text = read_text_file("/proc/cpuinfo").value_or("");
    const size_t at = text.find("\nflags");
    if (at == std::string::npos) return names;
    const size_t begin = text.find(':', at) + 1;
    std::istringstream words(text.substr(begin, text.find('\n', begin) - begin));
    for (std::string word; words >> word;) names.insert(word);
    return names;
  }();
  return features;
}

}  // namespace omig
