// SPDX-License-Identifier: Apache-2.0
// Moved while threads wait on futexes, private and shared ones: each wakes once, by its own word, and not with EINTR. A
// user would see a lock that nobody gets, or a thread that goes on too early.
#include "tests/programs/waits.h"

namespace {
int words[3];  // two wait on the first one
std::atomic<int> woken[3];

void wait_on(int which, int op) {
  CHECK_EQ(futex(&words[which], op, 0), 0);
  woken[which]++;
}
}  // namespace

int main() {
  pthread_t threads[] = {
      thread([] { wait_on(0, FUTEX_WAIT_PRIVATE); }),
      thread([] { wait_on(0, FUTEX_WAIT_PRIVATE); }),
      thread([] { wait_on(1, FUTEX_WAIT); }),
      thread([] { wait_on(2, FUTEX_WAIT_PRIVATE); }),
  };
  pthread_t waker = thread_after_go([] {
    for (auto& each : woken) CHECK_EQ(each, 0);
    CHECK_EQ(futex(&words[0], FUTEX_WAKE, 9), 0);  // of another kind than those that wait
    CHECK_EQ(futex(&words[1], FUTEX_WAKE, 9), 1);
    CHECK_EQ(futex(&words[0], FUTEX_WAKE_PRIVATE, 1), 1);
    while (woken[0] == 0) usleep(1000);
    usleep(20'000);
    CHECK_EQ(woken[0], 1);
    CHECK_EQ(futex(&words[0], FUTEX_WAKE_PRIVATE, 9), 1);
    CHECK_EQ(futex(&words[2], FUTEX_WAKE_PRIVATE, 9), 1);
  });
  announce("blocked");
  for (pthread_t each : threads) join(each);
  join(waker);
  CHECK_EQ(woken[0], 2);
  CHECK_ERRNO(futex(&words[0], FUTEX_WAIT_PRIVATE, 1), EAGAIN);
  CHECK_EQ(futex(&words[0], FUTEX_WAKE_PRIVATE, 9), 0);
  return 0;
}
