// SPDX-License-Identifier: Apache-2.0
// One thread rewrites random pages of 40 MiB all the time while the process moves (what pre-copy must get right); a
// version number per page, kept elsewhere, says what each must contain.
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {
constexpr size_t kPages = 10'240;
unsigned version[kPages];

void fill_page(unsigned long* page, size_t index) {
  for (size_t i = 0; i < 512; i++) page[i] = index * 1'000'003UL + version[index] * 512UL + i;
}
}  // namespace

int main() {
  auto* area = static_cast<unsigned long*>(
      mmap(nullptr, kPages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(area != MAP_FAILED);
  for (size_t i = 0; i < kPages; i++) fill_page(area + i * 512, i);
  Random random{99};
  {
    GoFlag go;
    while (!go.done()) {
      size_t i = random.next() % kPages;
      version[i]++;
      fill_page(area + i * 512, i);
    }
  }
  for (size_t i = 0; i < kPages; i++)
    for (size_t k = 0; k < 512; k++)
      if (area[i * 512 + k] != i * 1'000'003UL + version[i] * 512UL + k) FAIL("page %zu, word %zu differs", i, k);
  return 0;
}
