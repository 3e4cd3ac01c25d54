// SPDX-License-Identifier: Apache-2.0
// Moved while threads wait on one word for different bits: FUTEX_WAKE_BITSET wakes those it means, and no others.
#include "tests/programs/waits.h"

namespace {
int word;
std::atomic<unsigned> woken;

void wait_for(unsigned bits) {
  CHECK_EQ(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, nullptr, nullptr, bits), 0);
  woken |= bits;
}
long wake(unsigned bits) { return futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, nullptr, nullptr, bits); }
}  // namespace

int main() {
  pthread_t threads[] = {thread([] { wait_for(1); }), thread([] { wait_for(2); }), thread([] { wait_for(12); })};
  pthread_t waker = thread_after_go([] {
    CHECK_EQ(wake(16), 0);
    CHECK_EQ(wake(2), 1);
    while (woken == 0) usleep(1000);
    CHECK_EQ(woken, 2);
    CHECK_EQ(wake(8 | 16), 1);
    while (woken == 2) usleep(1000);
    CHECK_EQ(woken, 14);
    CHECK_EQ(wake(FUTEX_BITSET_MATCH_ANY), 1);
  });
  announce("blocked");
  for (pthread_t each : threads) join(each);
  join(waker);
  CHECK_EQ(woken, 15);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, nullptr, nullptr, 0), EINVAL);
  return 0;
}
