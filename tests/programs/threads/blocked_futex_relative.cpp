// SPDX-License-Identifier: Apache-2.0
// Moved while futexes are waited for with relative time-outs, as Go and musl do: they end with ETIMEDOUT when they
// should, neither with EINTR nor late by the time that they had waited before the move.
#include "tests/programs/waits.h"

namespace {
int words[3];

void wait_in_vain(int which, int op, long ms) {
  timespec limit = {ms / 1000, ms % 1000 * 1'000'000};
  const double start = seconds();
  CHECK_ERRNO(futex(&words[which], op, 0, &limit), ETIMEDOUT);
  expect_waited(start, ms, "a futex wait");
  CHECK(limit.tv_sec == ms / 1000);  // the kernel does not say what is left
}
}  // namespace

int main() {
  pthread_t threads[] = {
      thread([] { wait_in_vain(0, FUTEX_WAIT_PRIVATE, kWaitMs + 50); }),
      thread([] { wait_in_vain(1, FUTEX_WAIT, kWaitMs + 100); }),
  };
  pthread_t announcer = announce_later();
  wait_in_vain(2, FUTEX_WAIT_PRIVATE, kWaitMs + 1);
  for (pthread_t each : threads) join(each);
  wait_in_vain(2, FUTEX_WAIT_PRIVATE, 20);
  join(announcer);
  return 0;
}
