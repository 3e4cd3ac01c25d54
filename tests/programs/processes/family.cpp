// SPDX-License-Identifier: Apache-2.0
// A parent and three children, each moved by itself, talk through pipes in a ring and end in order.
#include "tests/programs/program.h"

namespace {
constexpr int kMembers = 4;
int ring[kMembers][2];

// Passes `value` on around the ring, adding its own number each time.
void pass(int me, int rounds) {
  for (int i = 0; i < rounds; i++) {
    long value = 0;
    if (me != 0) read_all(ring[me][0], &value, sizeof value);
    value += me + 1;
    write_all(ring[(me + 1) % kMembers][1], &value, sizeof value);
    if (me == 0) {
      read_all(ring[0][0], &value, sizeof value);
      CHECK_EQ(value, 1 + 2 + 3 + 4);
    }
  }
}
}  // namespace

int main() {
  for (auto& ends : ring) CHECK_EQ(pipe(ends), 0);
  pid_t parent = getpid(), pids[kMembers] = {};
  for (int me = 1; me < kMembers; me++)
    pids[me] = child([&] {
      for (int round = 0; round < 2; round++) {
        pass(me, 50);
        ready_and_wait(kMembers);
        CHECK_EQ(getppid(), parent);
      }
      pass(me, 50);
      return 60 + me;
    });
  for (int round = 0; round < 2; round++) {
    pass(0, 50);
    ready_and_wait(kMembers);
  }
  pass(0, 50);
  for (int me = 1; me < kMembers; me++) EXPECT_END(pids[me], 60 + me);
  return 0;
}
