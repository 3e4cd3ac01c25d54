// SPDX-License-Identifier: Apache-2.0
// When a node is short of memory, and when not any more.
#include <gtest/gtest.h>

#include "lib/cluster/memory.h"

namespace omig::cluster {
namespace {

constexpr u64 kGiB = 1ull << 30;
constexpr u64 kTotal = 10 * kGiB;

TEST(MemoryWatch, ShortBelowATenthAndUntilAFifth) {
  MemoryWatch watch;
  EXPECT_EQ(watch.deficit(3 * kGiB, kTotal, 0, 0), 0u);
  EXPECT_EQ(watch.deficit(3 * kGiB, kTotal, 0, 60'000), 0u);
  EXPECT_EQ(watch.deficit(kGiB * 12 / 10, kTotal, 0, 3'600'000), 0u);  // slowly
  const u64 needed = watch.deficit(kGiB / 2, kTotal, 0, 7'200'000);
  EXPECT_GE(needed, kGiB * 3 / 2);
  EXPECT_LE(needed, kGiB * 2);
  // Some of it is back: it is still short, or it would be ushering on and off.
  EXPECT_GT(watch.deficit(kGiB * 3 / 2, kTotal, 0, 7'201'000), 0u);
  u64 last = 1;
  for (int i = 0; i < 10; ++i) last = watch.deficit(kGiB * 21 / 10, kTotal, 0, 7'202'000 + 1'000 * i);
  EXPECT_EQ(last, 0u);
  EXPECT_EQ(watch.deficit(kGiB * 15 / 10, kTotal, 0, 9'000'000), 0u);
}

// 1.6 GiB a second: the node would be full before a move that begins at the low mark is done.
TEST(MemoryWatch, WhoFallsFastIsShortEarlier) {
  MemoryWatch watch;
  u64 free = 8 * kGiB;
  i64 now = 0;
  for (; watch.deficit(free, kTotal, 0, now) == 0; now += 250) {
    ASSERT_GT(free, kGiB);
    free -= kGiB * 4 / 10;
  }
  EXPECT_GT(free, 3 * kGiB);
}

TEST(MemoryWatch, WhereSomebodyStandsStillForMemoryLessIsTooLittle) {
  MemoryWatch calm, stalled;
  EXPECT_EQ(calm.deficit(kGiB * 15 / 10, kTotal, 0.02, 0), 0u);
  EXPECT_GT(stalled.deficit(kGiB * 15 / 10, kTotal, 0.3, 0), 0u);
  // Reading files makes people wait as well: with much free memory that is no shortage.
  MemoryWatch reading;
  EXPECT_EQ(reading.deficit(5 * kGiB, kTotal, 0.3, 0), 0u);
}

TEST(MemoryWatch, NoFiguresNoShortage) {
  MemoryWatch watch;
  EXPECT_EQ(watch.deficit(0, 0, 0, 0), 0u);
}

TEST(RefaultMeter, AThousandPagesASecondAreATenthOfTheTime) {
  RefaultMeter meter;
  EXPECT_EQ(meter.stalled(1'000'000, 1'000), 0);  // how many came before we looked says nothing
  double share = 0;
  for (int i = 1; i <= 20; ++i) share = meter.stalled(1'000'000 + 1'000 * static_cast<u64>(i), 1'000 + 1'000 * i);
  EXPECT_NEAR(share, 0.1, 0.01);
  EXPECT_EQ(meter.stalled(1'020'000, 21'000), share);                  // asked twice at once
  for (int i = 22; i <= 40; ++i) share = meter.stalled(5, 1'000 * i);  // another cgroup's, or nothing more
  EXPECT_LT(share, 0.001);
  EXPECT_LE(meter.stalled(1u << 31, 41'000), 1);
}

}  // namespace
}  // namespace omig::cluster
