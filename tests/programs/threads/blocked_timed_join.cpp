// SPDX-License-Identifier: Apache-2.0
// Moved while one thread joins another until a time, and one for ever. The kernel clears the joined thread's word when
// it ends, on whatever node that is; until then the waits hold.
#include "tests/programs/waits.h"

namespace {
pthread_t late;
std::atomic<bool> over{false};
}  // namespace

int main() {
  int release = 0;
  late = thread([&release] {
    CHECK_EQ(futex(&release, FUTEX_WAIT_PRIVATE, 0), 0);
    over = true;
  });
  pthread_t other = thread([] {
    const double start = seconds();
    const timespec until = after_ms(CLOCK_MONOTONIC, kWaitMs + 50);
    CHECK_EQ(pthread_clockjoin_np(late, nullptr, CLOCK_MONOTONIC, &until), ETIMEDOUT);
    expect_waited(start, kWaitMs + 50, "pthread_clockjoin_np");
  });
  pthread_t joiner = thread([&other] { join(other); });
  pthread_t announcer = announce_later();
  join(joiner);
  CHECK(!over);
  CHECK_EQ(pthread_tryjoin_np(late, nullptr), EBUSY);
  CHECK_EQ(futex(&release, FUTEX_WAKE_PRIVATE, 1), 1);
  join(late);
  CHECK(over);
  join(announcer);
  return 0;
}
