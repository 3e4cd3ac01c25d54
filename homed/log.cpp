// SPDX-License-Identifier: Apache-2.0
#include "homed/log.h"

#include <sys/time.h>
#include <unistd.h>

#include <ctime>
#include <string>

namespace omig {

void log_line(std::string_view text) {
  timeval now{};
  gettimeofday(&now, nullptr);
  tm parts{};
  localtime_r(&now.tv_sec, &parts);
  char stamp[32];
  std::strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &parts);
  std::string line = fmt::format("{}.{:03} {}\n", stamp, now.tv_usec / 1000, text);
  // One write, so that lines of several processes in one file do not mix. A full disk must not end the daemon.
  [[maybe_unused]] const ssize_t put = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace omig
