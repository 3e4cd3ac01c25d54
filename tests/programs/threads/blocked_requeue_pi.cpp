// SPDX-License-Identifier: Apache-2.0
// Moved inside FUTEX_WAIT_REQUEUE_PI: the waiters are then put in line for a priority-inheriting lock, which each of
// them owns when its call returns. Two things in one call; a user would see a condition variable of a real-time library
// hang.
#include "tests/programs/waits.h"

namespace {
int word, lock;
std::atomic<int> owners;

void wait_and_own() {
  CHECK_EQ(futex(&word, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, nullptr, &lock), 0);
  CHECK_EQ(lock & FUTEX_TID_MASK, gettid());
  owners++;
  int own = gettid();
  if (!__atomic_compare_exchange_n(&lock, &own, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    CHECK_EQ(futex(&lock, FUTEX_UNLOCK_PI_PRIVATE, 0), 0);
}
}  // namespace

int main() {
  pthread_t threads[] = {thread(wait_and_own), thread(wait_and_own), thread(wait_and_own)};
  pthread_t waker = thread_after_go([] {
    const auto all = reinterpret_cast<const timespec*>(9L);  // how many are put in line: in the place of the time-out
    CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, all, &lock, 1), EAGAIN);
    CHECK_EQ(owners, 0);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, all, &lock, 0), 3);
  });
  announce("blocked");
  join(waker);
  for (pthread_t each : threads) join(each);
  CHECK_EQ(owners, 3);
  CHECK_EQ(lock, 0);
  return 0;
}
