// SPDX-License-Identifier: Apache-2.0
#include "homed/ledger.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "homed/proc.h"
#include "lib/base/paths.h"
#include "lib/image/ledger.h"

namespace omig {
namespace {

constexpr size_t kMostBytes = 16u << 20;

i64 started_at_s(const ProcStat& stat) {
  timespec now{}, boot{};
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  return now.tv_sec - boot.tv_sec + static_cast<i64>(stat.start_ticks) / sysconf(_SC_CLK_TCK);
}

}  // namespace

void sweep_ledger(const std::string& state_dir) {
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(state_dir + "/usage", ignored)) {
    const pid_t pid = std::atoi(file.path().filename().c_str());
    const auto stat = read_stat(pid);
    struct stat info {};
    // A second of doubt: both times are whole ones.
    const bool another = stat && lstat(file.path().c_str(), &info) == 0 && info.st_mtime + 1 < started_at_s(*stat);
    if (!stat || another) unlink(file.path().c_str());
  }
}

u64 ledger_cpu_ms(const std::string& state_dir, pid_t pid) {
  const std::string text = read_text_file(state_dir + "/usage/" + std::to_string(pid), kMostBytes).value_or("");
  return image::used_elsewhere(image::parse_ledger(text), pid).total_ns() / 1'000'000;
}

}  // namespace omig
