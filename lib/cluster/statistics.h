// SPDX-License-Identifier: Apache-2.0
// What a process did lately counts more than what it did long ago: its statistics (calls, bytes) lose a share each
// interval (`mosrun -f -s -n`, `mosctl setdecay INTERVAL SLOW FAST`).
#pragma once

#include "lib/base/types.h"

namespace omig::cluster {

enum class DecayKind : u8 { slow, fast, none };

struct DecaySettings {
  i64 interval_ms = 1'000;
  u32 slow_permille = 975;  // kept per interval
  u32 fast_permille = 926;
};
inline constexpr const char* kDecayRange =
    "a decay has an interval of 100 to 3600000 ms and keeps 0 to 1000 per mille in each";
inline bool sensible(const DecaySettings& s) {
  return s.interval_ms >= 100 && s.interval_ms <= 3'600'000 && s.slow_permille <= 1000 && s.fast_permille <= 1000;
}

class DecayingSum {
 public:
  void add(double amount, i64 now_ms, DecayKind kind, const DecaySettings& settings);
  // The sum with every amount worth what is left of it.
  double value(i64 now_ms, DecayKind kind, const DecaySettings& settings) const;
  // Amounts per second that, going on like that, make up this sum. Without decay: over the time since the first.
  double per_s(i64 now_ms, DecayKind kind, const DecaySettings& settings) const;

 private:
  double sum_ = 0;
  i64 at_ms_ = 0;  // decayed until then, a whole number of intervals after the first amount
  i64 first_ms_ = -1;
};

}  // namespace omig::cluster
