// SPDX-License-Identifier: Apache-2.0
// Moved inside futex_waitv, a wait for several words at once (Wine's): it says which one woke it, and its time-out is
// kept. Kernels without the call (before Linux 5.16) say ENOSYS, and so it is.
#include "tests/programs/waits.h"

namespace {
struct Waiter {  // struct futex_waitv
  unsigned long value, address;
  unsigned flags, reserved;
};
constexpr unsigned k32Bits = 2, kPrivate = FUTEX_PRIVATE_FLAG;
constexpr long kWaitv = 449;

int words[4];

Waiter waiter(int which) { return {0, reinterpret_cast<unsigned long>(&words[which]), k32Bits | kPrivate, 0}; }
long wait_for(Waiter* waiters, unsigned count, const timespec* until, clockid_t clock) {
  return syscall(kWaitv, waiters, count, 0, until, clock);
}

void wait_in_vain() {
  Waiter one[] = {waiter(3)};
  const double start = seconds();
  const timespec until = after_ms(CLOCK_MONOTONIC, kWaitMs);
  CHECK_ERRNO(wait_for(one, 1, &until, CLOCK_MONOTONIC), ETIMEDOUT);
  expect_waited(start, kWaitMs, "futex_waitv");
}
}  // namespace

int main() {
  Waiter three[] = {waiter(0), waiter(1), waiter(2)};
  words[2] = 1;
  if (wait_for(three, 3, nullptr, CLOCK_MONOTONIC) < 0 && errno == ENOSYS) {
    ready_and_wait();
    CHECK_ERRNO(wait_for(three, 3, nullptr, CLOCK_MONOTONIC), ENOSYS);
    return 0;
  }
  CHECK_ERRNO(wait_for(three, 3, nullptr, CLOCK_MONOTONIC), EAGAIN);
  words[2] = 0;
  pthread_t other = thread(wait_in_vain);
  pthread_t waker = thread_after_go([] { CHECK_EQ(futex(&words[1], FUTEX_WAKE_PRIVATE, 9), 1); });
  pthread_t announcer = announce_later();
  CHECK_EQ(wait_for(three, 3, nullptr, CLOCK_MONOTONIC), 1);
  join(waker);
  join(other);
  for (int& word : words) CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 9), 0);
  join(announcer);
  return 0;
}
