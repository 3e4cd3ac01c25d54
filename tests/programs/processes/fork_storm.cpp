// SPDX-License-Identifier: Apache-2.0
// Short children all the time while the parent moves: pids unique among the living, codes right, memory copied.
#include "tests/programs/program.h"

int main() {
  long total = 0;
  unsigned char shared_before[5000];
  Go go;
  for (unsigned long round = 0; !go.done(); round++) {
    fill(shared_before, sizeof shared_before, round);
    unsigned long sum = hash(shared_before, sizeof shared_before);
    pid_t pids[6];
    for (int i = 0; i < 6; i++)
      pids[i] = child([&] {
        if (hash(shared_before, sizeof shared_before) != sum) return 99;
        memset(shared_before, i, sizeof shared_before);
        if (i == 5) EXPECT_END(child([] { return 77; }), 77);
        return i;
      });
    for (int i = 0; i < 6; i++)
      for (int k = 0; k < i; k++) CHECK(pids[i] != pids[k]);
    CHECK_EQ(hash(shared_before, sizeof shared_before), sum);
    for (int i = 5; i >= 0; i--) EXPECT_END(pids[i], i);
    total += 6;
  }
  CHECK(total > 0);
  CHECK_ERRNO(wait(nullptr), ECHILD);
  return 0;
}
