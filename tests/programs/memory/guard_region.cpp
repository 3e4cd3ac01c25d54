// SPDX-License-Identifier: Apache-2.0
// Guard regions within a mapping (MADV_GUARD_INSTALL, Linux 6.13; newer C libraries have them below thread stacks): a
// touch is SIGSEGV before and after moves, those set and removed while away as well. Older kernels: nothing to see.
#include <setjmp.h>
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {
constexpr int kInstall = 102, kRemove = 103;
constexpr size_t kPage = 4096;
sigjmp_buf back;

bool touch_fails(volatile char* at) {
  if (sigsetjmp(back, 1) != 0) return true;
  *at = 'y';
  return false;
}
}  // namespace

int main() {
  char* room =
      static_cast<char*>(mmap(nullptr, 16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(room != MAP_FAILED);
  memset(room, 'x', 16 * kPage);
  if (madvise(room, kPage, kInstall) != 0) {
    CHECK_EQ(errno, EINVAL);
    ready_and_wait();
    return 0;
  }
  on_signal(
      SIGSEGV, +[](int) { siglongjmp(back, 1); });
  for (int round = 0; round < 3; round++) {
    ready_and_wait();
    CHECK(touch_fails(room));
    CHECK(!touch_fails(room + kPage));
    CHECK_EQ(madvise(room + 4 * kPage, 2 * kPage, kInstall), 0);
    ready_and_wait();
    CHECK(touch_fails(room + 5 * kPage));
    CHECK(touch_fails(room));
    CHECK_EQ(room[6 * kPage], 'x');
    CHECK_EQ(madvise(room + 4 * kPage, 2 * kPage, kRemove), 0);
    CHECK_EQ(room[5 * kPage], 0);
    room[5 * kPage] = 'z';
    ready_and_wait();
    CHECK_EQ(room[5 * kPage], 'z');
    CHECK(touch_fails(room));
  }
  return 0;
}
