// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/memory.h"

#include <algorithm>

namespace omig::cluster {

namespace {

constexpr double kLow = 0.10;        // of all memory: free below this is too little
constexpr double kLowStalled = 0.2;  // the same, if somebody stands still for memory
constexpr double kEnough = 0.2;
constexpr double kStalls = 0.1;       // of the time
constexpr double kMoveTakes_s = 2.5;  // so far ahead one has to look: the next look, the question, the move
constexpr double kNewest = 0.5;
constexpr double kRefault_s = 100e-6;  // a page from a solid-state disk

}  // namespace

u64 MemoryWatch::deficit(u64 free_bytes, u64 total_bytes, double stalled, i64 now_ms) {
  const double free = static_cast<double>(free_bytes), total = static_cast<double>(total_bytes);
  if (at_ms_ >= 0 && now_ms > at_ms_) {
    const double fell = 1000 * (free_ - free) / static_cast<double>(now_ms - at_ms_);
    falling_per_s_ += kNewest * (std::max(0.0, fell) - falling_per_s_);
  }
  at_ms_ = now_ms;
  free_ = free;
  const double soon = free - falling_per_s_ * kMoveTakes_s;
  const bool stalls = stalled >= kStalls;
  if (free < kLow * total || soon < kLow / 2 * total || (stalls && free < kLowStalled * total)) short_ = true;
  if (free >= kEnough * total && soon >= kLow * total) short_ = false;
  if (!short_ || total_bytes == 0) return 0;
  return static_cast<u64>(std::max(1.0, kEnough * total - std::min(free, soon)));
}

double RefaultMeter::stalled(u64 refaults, i64 now_ms) {
  if (at_ms_ >= 0 && now_ms > at_ms_) {
    const double more = static_cast<double>(refaults - std::min(refaults, refaults_));  // less: another cgroup's
    const double share = more * kRefault_s * 1000 / static_cast<double>(now_ms - at_ms_);
    share_ += kNewest * (std::min(1.0, share) - share_);
  }
  if (at_ms_ < 0 || now_ms > at_ms_) {
    at_ms_ = now_ms;
    refaults_ = refaults;
  }
  return share_;
}

}  // namespace omig::cluster
