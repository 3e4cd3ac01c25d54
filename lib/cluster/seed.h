// SPDX-License-Identifier: Apache-2.0
// Chance as a pure function of a seed: whatever is drawn can be drawn again.
#pragma once

#include "lib/base/types.h"

namespace omig::cluster {

constexpr u64 mix(u64 x) {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

class Chance {
 public:
  explicit Chance(u64 seed) : state_(seed) {}
  u64 next() { return mix(state_++); }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
  u32 below(u32 n) { return static_cast<u32>(unit() * n); }

 private:
  u64 state_;
};

}  // namespace omig::cluster
