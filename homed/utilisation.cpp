// SPDX-License-Identifier: Apache-2.0
#include "homed/utilisation.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <utility>

#include "homed/node.h"
#include "homed/proc.h"

namespace omig {

namespace {

const double kTick_ms = 1000.0 / static_cast<double>(sysconf(_SC_CLK_TCK));

// The machine's, all CPUs together: user, nice, system, interrupts; neither idle nor stolen time.
double machine_used_ms(const std::string& root) {
  std::istringstream line(read_text_file(root + "/proc/stat").value_or(""));
  std::string word;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
  line >> word >> user >> nice >> system >> idle >> iowait >> irq >> softirq;
  return (user + nice + system + irq + softirq) * kTick_ms;
}

// Of the cgroup and those below it, where guests may be.
std::string all_processes(const std::string& folder) {
  std::string pids = read_text_file(folder + "/cgroup.procs").value_or("");
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator(folder, gone))
    if (entry.is_directory(gone)) pids += all_processes(entry.path());
  return pids;
}

}  // namespace

double Utilisation::processes_used_ms(const std::string& folder) {
  std::map<pid_t, double> now;
  double sum = 0;
  std::istringstream pids(all_processes(folder));
  for (pid_t pid = 0; pids >> pid;) {
    const auto text = read_text_file(root_ + "/proc/" + std::to_string(pid) + "/stat");
    const auto stat = text ? parse_stat(*text) : std::nullopt;
    if (!stat) continue;
    const double used = now[pid] = static_cast<double>(stat->cpu_ticks) * kTick_ms;
    const auto before = processes_ms_.find(pid);
    // A number that is used again has less than before: all of it is new.
    sum += before == processes_ms_.end() || used < before->second ? used : used - before->second;
  }
  processes_ms_ = std::move(now);
  return sum;
}

double Utilisation::used_ms_since_last() {
  const QuotaFolder quota = quota_folder(root_);
  double counted = 0;
  if (quota.path.empty()) {
    counted = machine_used_ms(root_);
  } else if (const auto v2 = number_in_stat(quota.path + "/cpu.stat", "usage_usec")) {
    counted = *v2 / 1e3;
  } else if (const auto v1 = number_in_file(quota.path + "/cpuacct.usage")) {
    counted = *v1 / 1e6;
  } else {
    return processes_used_ms(quota.path);
  }
  return counted - std::exchange(counted_ms_, counted);
}

double Utilisation::sample(double cpus, i64 now_ms) {
  const double used = used_ms_since_last();
  const i64 elapsed = now_ms - std::exchange(sampled_ms_, now_ms);
  const bool first = elapsed == now_ms;
  if (first || elapsed <= 0 || !(cpus > 0)) return 0;
  return std::clamp(used / (static_cast<double>(elapsed) * cpus), 0.0, 1.0);
}

}  // namespace omig
