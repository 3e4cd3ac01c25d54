// SPDX-License-Identifier: Apache-2.0
#include "lib/image/layout.h"

#include <algorithm>

namespace omig::image {
namespace {

bool special(const Vma& v) { return v.kind != VmaKind::anonymous && v.kind != VmaKind::file; }

// The part of `v` in [start, end).
Vma slice(const Vma& v, u64 start, u64 end) {
  Vma s = v;
  s.start = start;
  s.end = end;
  s.offset = v.kind == VmaKind::file ? v.offset + (start - v.start) : 0;
  return s;
}

// Whether home's bytes at `h` stand for the same thing as the guest's at `g` (both cover the same range).
bool same_backing(const Vma& h, const Vma& g) {
  if (h.kind != g.kind) return false;
  return h.kind == VmaKind::anonymous || (h.file == g.file && h.offset == g.offset);
}

void append(std::vector<Vma>* to, const Vma& v) {
  if (!to->empty()) {
    Vma& last = to->back();
    const bool continues = v.kind == VmaKind::anonymous || v.offset == last.offset + last.bytes();
    if (last.end == v.start && last.kind == v.kind && last.file == v.file && last.prot == v.prot &&
        last.flags == v.flags && continues) {
      last.end = v.end;
      return;
    }
  }
  to->push_back(v);
}

// Where home has the file's bytes that `g` maps, aside; 0: it has not, or has given them away.
u64 take_pin(std::vector<Pin>* pins, const Vma& g) {
  for (const Pin& p : *pins) {
    if (p.file != g.file || g.offset < p.offset || g.offset + g.bytes() > p.offset + p.bytes) continue;
    const u64 from = p.address + (g.offset - p.offset);
    *pins = moved_pin(*pins, from, g.bytes(), 0);
    return from;
  }
  return 0;
}

// Where home views what `g` views of a segment; 0: nowhere.
u64 view_of(const std::vector<Vma>& home, const Vma& g) {
  for (const Vma& h : home) {
    const bool has = h.kind == VmaKind::file && h.file == g.file && (h.flags & kSegment) != 0 && h.offset <= g.offset &&
                     g.offset < h.offset + h.bytes();
    if (has) return h.start + (g.offset - h.offset);
  }
  return 0;
}

}  // namespace

std::vector<Pin> moved_pin(std::span<const Pin> pins, u64 from, u64 bytes, u64 to) {
  std::vector<Pin> result;
  for (const Pin& p : pins) {
    if (from < p.address || from + bytes > p.address + p.bytes) {
      result.push_back(p);
      continue;
    }
    const u64 before = from - p.address, after = p.bytes - before - bytes;
    if (before > 0) result.push_back({p.address, before, p.offset, p.file});
    if (to != 0) result.push_back({to, bytes, p.offset + before, p.file});
    if (after > 0) result.push_back({from + bytes, after, p.offset + before + bytes, p.file});
  }
  return result;
}

LayoutPlan plan_layout(const std::vector<Vma>& home, const std::vector<Vma>& guest, std::span<const Pin> pins) {
  std::vector<Pin> unused(pins.begin(), pins.end());
  // Walk over all boundaries of both lists; between two neighbouring ones each side has one mapping or none.
  std::vector<u64> cuts;
  for (const auto* list : {&home, &guest}) {
    for (const Vma& v : *list) {
      if (special(v)) continue;
      cuts.push_back(v.start);
      cuts.push_back(v.end);
    }
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());

  LayoutPlan plan;
  std::vector<Edit> views;  // first: what they are views of may be unmapped by the others
  const auto advise = [&plan](u32 has, const Vma& g) {
    if (((has ^ g.flags) & kAdvice) != 0)
      plan.edits.push_back({EditKind::advise, g.start, g.bytes(), g.prot, g.flags, has & kAdvice});
  };
  std::size_t hi = 0, gi = 0;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    const u64 start = cuts[i], end = cuts[i + 1];
    while (hi < home.size() && (home[hi].end <= start || special(home[hi]))) ++hi;
    while (gi < guest.size() && (guest[gi].end <= start || special(guest[gi]))) ++gi;
    const bool at_home = hi < home.size() && home[hi].start <= start;
    const bool at_guest = gi < guest.size() && guest[gi].start <= start;
    if (!at_guest) {
      if (at_home) plan.edits.push_back({EditKind::unmap, start, end - start, 0, 0});
      continue;
    }
    Vma g = slice(guest[gi], start, end);
    if (at_home && same_backing(slice(home[hi], start, end), g)) {
      advise(home[hi].flags, g);
      if (home[hi].prot != g.prot) plan.edits.push_back({EditKind::protect, start, end - start, g.prot, g.flags});
      append(&plan.result, g);
      continue;
    }
    if (const u64 from = g.kind == VmaKind::file ? take_pin(&unused, g) : 0; from != 0) {
      plan.edits.push_back({EditKind::map_pin, start, end - start, g.prot, g.flags, from});
      advise(0, g);
      append(&plan.result, g);
      continue;
    }
    if (const u64 from = (g.flags & kSegment) != 0 ? view_of(home, g) : 0; from != 0) {
      views.push_back({EditKind::view_segment, start, end - start, g.prot, g.flags, from});
      append(&plan.result, g);
      continue;
    }
    g.kind = VmaKind::anonymous;
    g.file = -1;
    g.offset = 0;
    g.flags &= kGrowsDown | kAdvice;
    plan.edits.push_back({EditKind::map_anonymous, start, end - start, g.prot, g.flags});
    advise(0, g);
    append(&plan.result, g);
  }
  plan.edits.insert(plan.edits.begin(), views.begin(), views.end());
  return plan;
}

}  // namespace omig::image
