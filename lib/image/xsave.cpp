// SPDX-License-Identifier: Apache-2.0
#include "lib/image/xsave.h"

#include <cpuid.h>

#include <algorithm>
#include <cstring>

namespace omig::image {

namespace {

constexpr u64 kAlways = 7;  // x87, SSE, AVX: with them go MXCSR and the control words, which have no bit of their own
constexpr u32 kComponents = 63;

struct Component {
  u32 offset = 0, bytes = 0;
};

// CPUID leaf 0xd (Intel SDM 1, 13.2).
Component component(u32 number) {
  u32 a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(0xd, number, &a, &b, &c, &d) == 0) return {};
  return {b, a};
}

u64 word_at(const u8* xsave, u32 offset) {
  u64 word = 0;
  std::memcpy(&word, xsave + offset, sizeof word);
  return word;
}

}  // namespace

XsaveShape shape_in_frame(const u8* xsave, u32 bytes) {
  XsaveShape shape{word_at(xsave, kXsaveFeaturesAt) & (word_at(xsave, kXsaveInUseAt) | kAlways), kXsaveLegacyBytes};
  for (u32 i = 2; i < kComponents; ++i) {
    if ((shape.features >> i & 1) == 0) continue;
    const Component c = component(i);
    shape.bytes = std::max(shape.bytes, c.offset + c.bytes);
  }
  shape.bytes = std::min(shape.bytes, bytes);
  return shape;
}

std::vector<std::pair<u32, u32>> xsave_layout() {
  std::vector<std::pair<u32, u32>> layout;
  u32 low = 0, b = 0, c = 0, high = 0;
  if (__get_cpuid_count(0xd, 0, &low, &b, &c, &high) == 0) return layout;
  const u64 all = u64{high} << 32 | low;
  for (u32 i = 2; i < kComponents; ++i)
    if ((all >> i & 1) != 0) layout.emplace_back(i, component(i).offset);
  return layout;
}

}  // namespace omig::image
