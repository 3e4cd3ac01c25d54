// SPDX-License-Identifier: Apache-2.0
// A deep recursion is moved at its bottom, goes deeper afterwards, and finds every frame intact on its way up.
#include "tests/programs/program.h"

namespace {

constexpr int kFirst = 1200, kLast = 3000;  // 2 KiB a frame: 2.5 MiB before the moves, 6 MiB after them

[[gnu::noipa]] unsigned long descend(int depth) {
  unsigned char frame[2000];
  fill(frame, sizeof frame, static_cast<unsigned long>(depth));
  unsigned long sum = hash(frame, sizeof frame);
  if (depth == kFirst) ready_and_wait();
  unsigned long below = depth < kLast ? descend(depth + 1) : 0;
  if (depth == kFirst + 10) ready_and_wait();  // the stack is deep, and this move finds it half used
  if (hash(frame, sizeof frame) != sum) FAIL("frame %d changed", depth);
  return below + 1;
}

}  // namespace

int main() {
  CHECK_EQ(descend(0), kLast + 1);
  return 0;
}
