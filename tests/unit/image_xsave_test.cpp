// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>

#include "lib/image/xsave.h"

namespace omig::image {
namespace {

std::vector<u8> image_with(u64 features, u64 in_use, u32 bytes) {
  std::vector<u8> xsave(bytes);
  std::memcpy(xsave.data() + kXsaveFeaturesAt, &features, sizeof features);
  std::memcpy(xsave.data() + kXsaveInUseAt, &in_use, sizeof in_use);
  return xsave;
}

u64 all_here() {
  u64 all = 3;
  for (const auto& [component, offset] : xsave_layout()) all |= 1ull << component;
  return all;
}

TEST(Xsave, AFrameEndsBehindWhatIsInUse) {
  if ((all_here() & 4) == 0) GTEST_SKIP() << "this CPU has no AVX";
  // Room for AMX, as PTRACE_GETREGSET gives it: no thread gets so much back that has not asked for AMX.
  const auto xsave = image_with(all_here(), 7, 11'008);
  const XsaveShape shape = shape_in_frame(xsave.data(), 11'008);
  EXPECT_EQ(shape.features, 7u);
  EXPECT_EQ(shape.bytes, 832u);  // AVX' upper halves are at 576 everywhere
}

TEST(Xsave, X87AndSseAreAlwaysSaidToBeThere) {
  const auto xsave = image_with(all_here(), 0, 2'696);
  EXPECT_EQ(shape_in_frame(xsave.data(), 2'696).features & 3, 3u);
}

TEST(Xsave, WhatTheProcessorLacksIsNot) {
  const auto xsave = image_with(3, ~0ull, kXsaveLegacyBytes);
  const XsaveShape shape = shape_in_frame(xsave.data(), kXsaveLegacyBytes);
  EXPECT_EQ(shape.features, 3u);
  EXPECT_EQ(shape.bytes, kXsaveLegacyBytes);
}

TEST(Xsave, NoLongerThanItIs) {
  const auto xsave = image_with(~0ull, ~0ull, 700);
  EXPECT_LE(shape_in_frame(xsave.data(), 700).bytes, 700u);
}

}  // namespace
}  // namespace omig::image
