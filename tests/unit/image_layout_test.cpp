// SPDX-License-Identifier: Apache-2.0
// Coming home: the calls that bring home's layout in line, checked by carrying them out on a model of home.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <map>
#include <random>

#include "lib/image/layout.h"

namespace omig::image {
namespace {

constexpr u64 kPage = 0x1000;
constexpr u32 kRw = PROT_READ | PROT_WRITE;

Vma vma(u64 first_page, u64 pages, u32 prot = kRw, i32 file = -1, u64 offset_pages = 0) {
  Vma v;
  v.start = first_page * kPage;
  v.end = v.start + pages * kPage;
  v.prot = prot;
  v.file = file;
  v.offset = offset_pages * kPage;
  v.kind = file >= 0 ? VmaKind::file : VmaKind::anonymous;
  return v;
}

// One page of a model address space.
struct Page {
  u32 prot;
  i32 file;
  u64 offset;
  auto operator<=>(const Page&) const = default;
};
using Space = std::map<u64, Page>;

Space space_of(const std::vector<Vma>& list) {
  Space space;
  for (const Vma& v : list) {
    for (u64 at = v.start; at < v.end; at += kPage) {
      space[at] = {v.prot, v.file, v.kind == VmaKind::file ? v.offset + (at - v.start) : 0};
    }
  }
  return space;
}

void carry_out(const std::vector<Edit>& edits, Space* space) {
  for (const Edit& e : edits) {
    for (u64 at = e.start; at < e.start + e.bytes; at += kPage) {
      if (e.kind == EditKind::unmap) space->erase(at);
      if (e.kind == EditKind::map_anonymous) (*space)[at] = {e.prot, -1, 0};
      if (e.kind == EditKind::protect) {
        ASSERT_TRUE(space->contains(at)) << "protects what is not there";
        space->at(at).prot = e.prot;
      }
    }
  }
}

TEST(Layout, NothingChangedNothingToDo) {
  const std::vector<Vma> both = {vma(1, 4, PROT_READ | PROT_EXEC, 0, 2), vma(8, 10)};
  const LayoutPlan plan = plan_layout(both, both);
  EXPECT_TRUE(plan.edits.empty());
  EXPECT_EQ(space_of(plan.result), space_of(both));
}

TEST(Layout, AFileHomeDoesNotHaveThereIsShippedAsMemory) {
  const LayoutPlan plan = plan_layout({vma(1, 4, PROT_READ, 0, 2)}, {vma(1, 4, PROT_READ, 0, 3)});
  ASSERT_EQ(plan.edits.size(), 1u);
  EXPECT_EQ(plan.edits[0].kind, EditKind::map_anonymous);
  ASSERT_EQ(plan.result.size(), 1u);
  EXPECT_EQ(plan.result[0].kind, VmaKind::anonymous);
}

TEST(Layout, AFileThatHomeHasAsideIsPutInPlaceOnce) {
  const Pin pins[] = {{1000 * kPage, 8 * kPage, 2 * kPage, 3}};
  // Cut to pieces, and one piece mapped a second time: home has its bytes aside only once.
  const LayoutPlan plan =
      plan_layout({}, {vma(10, 2, kRw, 3, 2), vma(12, 3, PROT_READ, 3, 7), vma(20, 2, kRw, 3, 2)}, pins);
  ASSERT_EQ(plan.edits.size(), 3u);
  EXPECT_EQ(plan.edits[0].kind, EditKind::map_pin);
  EXPECT_EQ(plan.edits[0].from, 1000 * kPage);
  EXPECT_EQ(plan.edits[1].kind, EditKind::map_pin);
  EXPECT_EQ(plan.edits[1].from, 1005 * kPage);
  EXPECT_EQ(plan.edits[2].kind, EditKind::map_anonymous);
  EXPECT_EQ(plan.result[0].kind, VmaKind::file);
  EXPECT_EQ(plan.result[2].kind, VmaKind::anonymous);
}

TEST(Layout, APinThatAnAttemptHasMovedIsFoundWhereItIs) {
  const std::vector<Pin> pins = {{1000 * kPage, 8 * kPage, 0, 3}};
  const std::vector<Pin> moved = moved_pin(pins, 1002 * kPage, 2 * kPage, 50 * kPage);
  ASSERT_EQ(moved.size(), 3u);
  EXPECT_EQ(moved[1].address, 50 * kPage);
  EXPECT_EQ(moved[1].offset, 2 * kPage);
  EXPECT_EQ(moved[2].address, 1004 * kPage);
  EXPECT_EQ(moved[2].offset, 4 * kPage);
  const LayoutPlan plan = plan_layout({}, {vma(50, 2, kRw, 3, 2)}, moved);
  ASSERT_EQ(plan.edits.size(), 1u);
  EXPECT_EQ(plan.edits[0].kind, EditKind::map_pin);
  EXPECT_EQ(plan.edits[0].from, 50 * kPage);
}

TEST(Layout, ASegmentThatTheGuestHasMovedIsViewedBeforeItsOldPlaceGoes) {
  Vma home = vma(10, 8, kRw, 0, 0), guest = vma(40, 2, PROT_READ, 0, 3);
  home.flags = guest.flags = kSegment;
  const LayoutPlan plan = plan_layout({home}, {guest});
  ASSERT_EQ(plan.edits.size(), 2u);
  EXPECT_EQ(plan.edits[0].kind, EditKind::view_segment);
  EXPECT_EQ(plan.edits[0].start, 40 * kPage);
  EXPECT_EQ(plan.edits[0].from, 13 * kPage);
  EXPECT_EQ(plan.edits[0].prot, static_cast<u32>(PROT_READ));
  EXPECT_EQ(plan.edits[1].kind, EditKind::unmap);
  ASSERT_EQ(plan.result.size(), 1u);
  EXPECT_EQ(plan.result[0].kind, VmaKind::file);
  EXPECT_EQ(plan.result[0].flags, kSegment);
}

TEST(Layout, TheVdsoStaysHomesOwn) {
  Vma there = vma(100, 2, PROT_READ | PROT_EXEC), here = vma(200, 2, PROT_READ | PROT_EXEC);
  there.kind = here.kind = VmaKind::vdso;
  const LayoutPlan plan = plan_layout({here}, {there});
  EXPECT_TRUE(plan.edits.empty());
  EXPECT_TRUE(plan.result.empty());
}

TEST(Layout, RandomLayoutsEndAsTheGuests) {
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  const auto pick = [&](u64 most) { return static_cast<u64>(random()) % most; };
  const auto random_list = [&] {
    std::vector<Vma> list;
    for (u64 at = pick(4); at < 60;) {
      const u64 pages = 1 + pick(6);
      const bool file = pick(3) == 0;
      list.push_back(vma(at, pages, pick(2) != 0 ? kRw : static_cast<u32>(PROT_READ),
                         file ? static_cast<i32>(pick(2)) : -1, file ? at : 0));
      at += pages + pick(3);
    }
    return list;
  };
  for (int round = 0; round < 500; ++round) {
    const auto home = random_list(), guest = random_list();
    const LayoutPlan plan = plan_layout(home, guest);
    Space space = space_of(home);
    carry_out(plan.edits, &space);
    ASSERT_EQ(space, space_of(plan.result)) << "seed " << seed << " round " << round;
    // The result covers the guest's pages with its protections; a file is only kept where it is the guest's as well.
    const Space wanted = space_of(guest);
    ASSERT_EQ(space.size(), wanted.size()) << "seed " << seed << " round " << round;
    for (const auto& [at, page] : space) {
      ASSERT_TRUE(wanted.contains(at));
      ASSERT_EQ(page.prot, wanted.at(at).prot) << "seed " << seed << " round " << round;
      if (page.file >= 0) {
        ASSERT_EQ(page, wanted.at(at)) << "seed " << seed << " round " << round;
      }
    }
  }
}

}  // namespace
}  // namespace omig::image
