// SPDX-License-Identifier: Apache-2.0
#include "homed/node.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <optional>
#include <sstream>

#include "homed/proc.h"

namespace omig {

namespace {

std::optional<double> number_in_file(const std::string& path) {
  const auto text = read_text_file(path);
  if (!text) return std::nullopt;
  double value = 0;
  const auto [next, code] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (code != std::errc{}) return std::nullopt;
  return value;
}

// Where a cgroup v1 controller, or v2 (controller empty), is mounted.
std::string cgroup_mount(const std::string& controller) {
  std::istringstream lines(read_text_file("/proc/self/mounts").value_or(""));
  std::string device, path, type, options, rest;
  while (lines >> device >> path >> type >> options && std::getline(lines, rest)) {
    if (controller.empty() && type == "cgroup2") return path;
    if (!controller.empty() && type == "cgroup" &&
        ("," + options + ",").find("," + controller + ",") != std::string::npos)
      return path;
  }
  return "";
}

// The folders of our cgroup and its ancestors, as far as our mount shows them.
std::vector<std::string> cgroup_folders(const std::string& controller) {
  std::vector<std::string> folders;
  const std::string mount = cgroup_mount(controller);
  if (mount.empty()) return folders;
  std::istringstream lines(read_text_file("/proc/self/cgroup").value_or(""));
  std::string line;
  while (std::getline(lines, line)) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool ours = controller.empty() ? names == ",," : names.find("," + controller + ",") != std::string::npos;
    if (!ours) continue;
    for (std::string path = line.substr(second + 1);; path = path.substr(0, path.rfind('/'))) {
      folders.push_back(mount + (path == "/" ? "" : path));
      if (path.empty() || path == "/") return folders;
    }
  }
  return folders;
}

double quota_cpus() {
  double cpus = INFINITY;
  for (const std::string& folder : cgroup_folders("cpu")) {
    const auto quota = number_in_file(folder + "/cpu.cfs_quota_us");
    const auto period = number_in_file(folder + "/cpu.cfs_period_us");
    if (quota && period && *quota > 0 && *period > 0) cpus = std::min(cpus, *quota / *period);
  }
  for (const std::string& folder : cgroup_folders("")) {
    std::istringstream text(read_text_file(folder + "/cpu.max").value_or("max"));
    std::string quota;
    double period = 0;
    if (text >> quota >> period && quota != "max" && period > 0) cpus = std::min(cpus, std::stod(quota) / period);
  }
  return cpus;
}

double thread_cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

double usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const double affinity = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  return std::clamp(quota_cpus(), 0.01, std::max(1.0, affinity));
}

double measure_speed() {
  // Dependent integer and floating-point work; CPU time, not wall time, and the best of many short runs, because other
  // tenants of a shared machine can only make a run slower.
  double best_s = INFINITY;
  for (int run = 0; run < 40; ++run) {
    u64 x = 88172645463325252u + static_cast<u64>(run);
    double y = 1.0;
    const double begin_s = thread_cpu_s();
    for (int i = 0; i < 100'000; ++i) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      y = y * 1.0000001 + static_cast<double>(x & 1023) * 1e-9;
    }
    // The result must look used, or the loop is not there.
    asm volatile("" : : "r"(x), "x"(y));
    best_s = std::min(best_s, thread_cpu_s() - begin_s);
  }
  constexpr double kReference_s = 250e-6;
  const double speed = kReference_s / std::max(best_s, 1e-7);
  const double step = std::log(1.1);
  return std::clamp(std::exp(std::round(std::log(speed) / step) * step), 0.01, 100.0);
}

Memory memory_now() {
  Memory memory;
  const std::string text = read_text_file("/proc/meminfo").value_or("");
  const auto kib = [&](const char* name) {
    u64 value = 0;
    const std::string_view field = status_field(text, name);
    std::from_chars(field.data(), field.data() + field.size(), value);
    return value * 1024;
  };
  memory.total_bytes = kib("MemTotal");
  memory.free_bytes = kib("MemAvailable");
  const auto limit_by = [&](const std::string& folder, const char* limit_name, const char* use_name) {
    const auto limit = number_in_file(folder + limit_name);
    const auto use = number_in_file(folder + use_name);
    if (!limit || !use || *limit <= 0 || *limit >= static_cast<double>(memory.total_bytes)) return;
    memory.total_bytes = static_cast<u64>(*limit);
    memory.free_bytes = std::min(memory.free_bytes, static_cast<u64>(std::max(0.0, *limit - *use)));
  };
  for (const std::string& folder : cgroup_folders("memory"))
    limit_by(folder, "/memory.limit_in_bytes", "/memory.usage_in_bytes");
  for (const std::string& folder : cgroup_folders("")) limit_by(folder, "/memory.max", "/memory.current");
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
