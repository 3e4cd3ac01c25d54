// SPDX-License-Identifier: Apache-2.0
// Memory that changes in every way there is while the process moves (what pre-copy must get right): pages are written,
// zeroed and given back, mappings are protected, moved, cut, grown and mapped anew in the same place. A number per
// page, kept elsewhere, says what each must contain; 0 stands for zeros.
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {

constexpr size_t kPage = 4096, kWords = kPage / 8, kPages = 2048, kPlaces = 8;

struct Place {
  unsigned long* memory;
  bool one_mapping;  // mremap takes no more than one
  unsigned long tags[kPages];
};
Place places[kPlaces];
Random random_numbers{4711};

size_t below(size_t limit) { return random_numbers.next() % limit; }

unsigned long* map(void* at, size_t pages, int flags) {
  void* memory = mmap(at, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  CHECK(memory != MAP_FAILED);
  return static_cast<unsigned long*>(memory);
}

void write_page(Place& place, size_t page, unsigned long tag) {
  place.tags[page] = tag;
  for (size_t i = 0; i < kWords; i++) place.memory[page * kWords + i] = tag * (i + 1);
}

void check_page(const Place& place, size_t page) {
  for (size_t i = 0; i < kWords; i++)
    if (place.memory[page * kWords + i] != place.tags[page] * (i + 1))
      FAIL("word %zu of page %zu at %p is %lx, not %lx", i, page, static_cast<const void*>(place.memory),
           place.memory[page * kWords + i], place.tags[page] * (i + 1));
}

void change(Place& place) {
  size_t first = below(kPages), count = 1 + below(kPages - first);
  unsigned long* from = place.memory + first * kWords;
  switch (below(1000)) {
    case 0:  // another mapping in its place
      CHECK_EQ(munmap(place.memory, kPages * kPage), 0);
      place.memory = map(place.memory, kPages, MAP_FIXED_NOREPLACE);
      place.one_mapping = true;
      memset(place.tags, 0, sizeof place.tags);
      for (size_t i = 0; i < kPages; i += 1 + below(3)) write_page(place, i, random_numbers.next());
      break;
    case 1: {  // moved, and something else where it was
      if (!place.one_mapping) break;
      unsigned long* target = map(nullptr, kPages, 0);
      void* moved = mremap(place.memory, kPages * kPage, kPages * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target);
      if (moved == MAP_FAILED && errno == EFAULT) {  // a mapping may be two after a move (README, limits)
        place.one_mapping = false;
        CHECK_EQ(munmap(target, kPages * kPage), 0);
        break;
      }
      CHECK(moved == target);
      map(place.memory, kPages, MAP_FIXED_NOREPLACE)[0] = 1;
      CHECK_EQ(munmap(place.memory, kPages * kPage), 0);
      place.memory = target;
      break;
    }
    case 2: {  // cut, and grown again
      if (!place.one_mapping) break;
      size_t less = kPages / 2 + below(kPages / 2);
      CHECK(mremap(place.memory, kPages * kPage, less * kPage, 0) == place.memory);
      if (mremap(place.memory, less * kPage, kPages * kPage, 0) != place.memory) {
        CHECK_EQ(errno, EFAULT);  // as above
        map(place.memory + less * kWords, kPages - less, MAP_FIXED_NOREPLACE);
        place.one_mapping = false;
      }
      for (size_t i = less; i < kPages; i++) place.tags[i] = 0;
      break;
    }
    case 3:  // a hole, mapped anew
      CHECK_EQ(munmap(from, count * kPage), 0);
      map(from, count, MAP_FIXED_NOREPLACE);
      place.one_mapping = false;
      for (size_t i = first; i < first + count; i++) place.tags[i] = 0;
      break;
    case 4:
    case 5:
      for (int protection : {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE}) {
        CHECK_EQ(mprotect(from, count * kPage, protection), 0);
        if (protection != PROT_NONE) check_page(place, first);
      }
      break;
    case 6:
    case 7:
    case 8:
      CHECK_EQ(madvise(from, count * kPage, MADV_DONTNEED), 0);
      for (size_t i = first; i < first + count; i++) place.tags[i] = 0;
      break;
    default: write_page(place, first, below(8) == 0 ? 0 : random_numbers.next());
  }
}

}  // namespace

int main() {
  for (Place& place : places) {
    place.memory = map(nullptr, kPages, 0);
    place.one_mapping = true;
    for (size_t i = 0; i < kPages; i++) write_page(place, i, random_numbers.next());
  }
  {
    GoFlag go;
    while (!go.done()) {
      Place& place = places[below(kPlaces)];
      change(place);
      check_page(place, below(kPages));
    }
  }
  for (const Place& place : places)
    for (size_t i = 0; i < kPages; i++) check_page(place, i);
  return 0;
}
