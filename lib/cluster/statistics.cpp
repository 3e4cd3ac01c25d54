// SPDX-License-Identifier: Apache-2.0
#include "lib/cluster/statistics.h"

#include <algorithm>
#include <cmath>

namespace omig::cluster {

namespace {

double kept(DecayKind kind, const DecaySettings& s) {
  if (kind == DecayKind::none) return 1;
  return (kind == DecayKind::slow ? s.slow_permille : s.fast_permille) / 1000.0;
}

i64 intervals(i64 from_ms, i64 to_ms, const DecaySettings& s) {
  return std::max<i64>(0, to_ms - from_ms) / std::max<i64>(1, s.interval_ms);
}

}  // namespace

void DecayingSum::add(double amount, i64 now_ms, DecayKind kind, const DecaySettings& s) {
  if (first_ms_ < 0) first_ms_ = at_ms_ = now_ms;
  sum_ = value(now_ms, kind, s) + amount;
  at_ms_ += intervals(at_ms_, now_ms, s) * s.interval_ms;
}

double DecayingSum::value(i64 now_ms, DecayKind kind, const DecaySettings& s) const {
  return sum_ * std::pow(kept(kind, s), static_cast<double>(intervals(at_ms_, now_ms, s)));
}

double DecayingSum::per_s(i64 now_ms, DecayKind kind, const DecaySettings& s) const {
  if (first_ms_ < 0) return 0;
  // n whole intervals and the one that has begun: their weights add up to 1 + k + ... + k^n.
  const double n = static_cast<double>(intervals(first_ms_, now_ms, s) + 1), k = kept(kind, s);
  const double weights = k == 1 ? n : (1 - std::pow(k, n)) / (1 - k);
  return value(now_ms, kind, s) / weights * 1000 / static_cast<double>(s.interval_ms);
}

}  // namespace omig::cluster
