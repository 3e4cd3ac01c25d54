// SPDX-License-Identifier: Apache-2.0
// Moved while threads stand at a barrier: it opens with the last one, for all, and one of them is told that it is the
// serial one. A user would see a parallel program stand still at the end of a round.
#include "tests/programs/waits.h"

namespace {
pthread_barrier_t barrier;
std::atomic<int> arrived, serial;

void pass() {
  for (int round = 1; round <= 3; round++) {
    arrived++;
    const int got = pthread_barrier_wait(&barrier);
    CHECK(got == 0 || got == PTHREAD_BARRIER_SERIAL_THREAD);
    CHECK(arrived >= 5 * round);
    if (got != 0) serial++;
  }
}
}  // namespace

int main() {
  CHECK_EQ(pthread_barrier_init(&barrier, nullptr, 5), 0);
  pthread_t threads[] = {thread(pass), thread(pass), thread(pass), thread(pass)};
  pthread_t last = thread_after_go([] {
    CHECK_EQ(arrived, 4);
    CHECK_EQ(serial, 0);
    pass();
  });
  announce("blocked");
  join(last);
  for (pthread_t each : threads) join(each);
  CHECK_EQ(serial, 3);
  CHECK_EQ(pthread_barrier_destroy(&barrier), 0);
  return 0;
}
