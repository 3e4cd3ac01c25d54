// SPDX-License-Identifier: Apache-2.0
// Moved while futexes are waited for until a time of day or of the monotonic clock, as glibc does: FUTEX_WAIT_BITSET,
// FUTEX_LOCK_PI and FUTEX_WAIT_REQUEUE_PI end with ETIMEDOUT at that time.
#include "tests/programs/waits.h"

namespace {
int words[4], held;

void wait_in_vain(int which, int op, clockid_t clock, long ms) {
  const double start = seconds();
  const timespec until = after_ms(clock, ms);
  CHECK_ERRNO(futex(&words[which], op, 0, &until, nullptr, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
  expect_waited(start, ms, "a wait until a time");
}
void lock_in_vain(long ms) {
  const double start = seconds();
  const timespec until = after_ms(CLOCK_REALTIME, ms);
  CHECK_ERRNO(futex(&held, FUTEX_LOCK_PI_PRIVATE, 0, &until), ETIMEDOUT);
  expect_waited(start, ms, "a wait for a lock");
}
void requeue_in_vain(long ms) {
  const double start = seconds();
  const timespec until = after_ms(CLOCK_MONOTONIC, ms);
  CHECK_ERRNO(futex(&words[3], FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, &until, &held), ETIMEDOUT);
  expect_waited(start, ms, "a wait to be put in line for a lock");
}
}  // namespace

int main() {
  held = gettid();
  pthread_t threads[] = {
      thread([] { wait_in_vain(0, FUTEX_WAIT_BITSET_PRIVATE, CLOCK_MONOTONIC, kWaitMs + 20); }),
      thread([] { wait_in_vain(1, FUTEX_WAIT_BITSET, CLOCK_MONOTONIC, kWaitMs + 40); }),
      thread([] { lock_in_vain(kWaitMs + 60); }),
      thread([] { requeue_in_vain(kWaitMs + 80); }),
  };
  pthread_t announcer = announce_later();
  wait_in_vain(2, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, CLOCK_REALTIME, kWaitMs);
  for (pthread_t each : threads) join(each);
  CHECK_EQ(futex(&held, FUTEX_UNLOCK_PI_PRIVATE, 0), 0);
  CHECK_EQ(held, 0);
  join(announcer);
  return 0;
}
