// SPDX-License-Identifier: Apache-2.0
// Coming home from any layout to any layout: carried out on a model of home, the plan must end as the guest's layout.
#include "lib/image/layout.h"

#include <sys/mman.h>

#include <map>

#include "tests/fuzz/fuzz.h"

namespace {

using namespace omig;
using namespace omig::image;

std::vector<Vma> list_from(fuzz::Bytes& bytes) {
  std::vector<Vma> list;
  u64 page = 1;
  for (size_t i = bytes.take<u8>() % 32; i > 0; --i) {
    Vma v;
    page += bytes.take<u8>() % 4;
    v.start = page * kPageSize;
    page += 1 + bytes.take<u8>() % 8;
    v.end = page * kPageSize;
    const u8 what = bytes.take<u8>();
    v.prot = (what & 1) != 0 ? PROT_READ : PROT_READ | PROT_WRITE;
    v.flags = (what & 2) != 0 ? kGrowsDown : 0;
    if ((what & 12) == 12) {
      v.kind = VmaKind::vdso;
    } else if ((what & 4) != 0) {
      v.kind = VmaKind::file;
      v.file = (what >> 4) % 2;
      v.offset = (what & 0x20) != 0 ? v.start : 0;
    }
    list.push_back(v);
  }
  return list;
}

struct Page {
  u32 prot;
  i32 file;
  u64 offset;
  bool operator==(const Page&) const = default;
};
using Space = std::map<u64, Page>;

Space space_of(const std::vector<Vma>& list) {
  Space space;
  for (const Vma& v : list) {
    if (v.kind != VmaKind::anonymous && v.kind != VmaKind::file) continue;
    for (u64 at = v.start; at < v.end; at += kPageSize)
      space[at] = {v.prot, v.kind == VmaKind::file ? v.file : -1,
                   v.kind == VmaKind::file ? v.offset + (at - v.start) : 0};
  }
  return space;
}

}  // namespace

int LLVMFuzzerTestOneInput(const u8* data, size_t size) {
  fuzz::Bytes bytes(data, size);
  const std::vector<Vma> home = list_from(bytes), guest = list_from(bytes);
  const LayoutPlan plan = plan_layout(home, guest);
  Space space = space_of(home);
  for (const Edit& e : plan.edits) {
    for (u64 at = e.start; at < e.start + e.bytes; at += kPageSize) {
      if (e.kind == EditKind::unmap) space.erase(at);
      if (e.kind == EditKind::map_anonymous) space[at] = {e.prot, -1, 0};
      if (e.kind == EditKind::protect) {
        CLAIM(space.contains(at));
        space[at].prot = e.prot;
      }
    }
  }
  CLAIM(space == space_of(plan.result));
  const Space wanted = space_of(guest);
  CLAIM(space.size() == wanted.size());
  for (const auto& [at, page] : space) {
    CLAIM(wanted.contains(at) && page.prot == wanted.at(at).prot);
    CLAIM(page.file < 0 || page == wanted.at(at));
  }
  return 0;
}
