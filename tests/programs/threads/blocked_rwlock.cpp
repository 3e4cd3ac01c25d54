// SPDX-License-Identifier: Apache-2.0
// Moved while readers wait for a writer and writers for readers, with and without time-outs. A user would see a data
// base's lock that is never given on, or given to a reader and a writer at once.
#include "tests/programs/waits.h"

namespace {
pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER, was_read = PTHREAD_RWLOCK_INITIALIZER;
std::atomic<int> readers, writers;

void read_lock() {
  CHECK_EQ(pthread_rwlock_rdlock(&written), 0);
  readers++;
  while (readers < 2) usleep(1000);  // both at once
  CHECK_EQ(pthread_rwlock_unlock(&written), 0);
}
void write_lock() {
  CHECK_EQ(pthread_rwlock_wrlock(&was_read), 0);
  CHECK_EQ(writers++, 0);
  sched_yield();
  writers--;
  CHECK_EQ(pthread_rwlock_unlock(&was_read), 0);
}
void read_in_vain() {
  const double start = seconds();
  const timespec until = after_ms(CLOCK_MONOTONIC, kWaitMs + 50);
  CHECK_EQ(pthread_rwlock_clockrdlock(&written, CLOCK_MONOTONIC, &until), ETIMEDOUT);
  expect_waited(start, kWaitMs + 50, "pthread_rwlock_clockrdlock");
}
}  // namespace

int main() {
  CHECK_EQ(pthread_rwlock_wrlock(&written), 0);
  CHECK_EQ(pthread_rwlock_rdlock(&was_read), 0);
  pthread_t threads[] = {thread(read_lock), thread(read_lock), thread(write_lock), thread(write_lock)};
  pthread_t timed = thread(read_in_vain);
  pthread_t announcer = announce_later();
  const double start = seconds();
  const timespec until = after_ms(CLOCK_REALTIME, kWaitMs);
  CHECK_EQ(pthread_rwlock_timedwrlock(&was_read, &until), ETIMEDOUT);
  expect_waited(start, kWaitMs, "pthread_rwlock_timedwrlock");
  join(timed);
  CHECK_EQ(readers, 0);
  CHECK_EQ(pthread_rwlock_unlock(&was_read), 0);
  CHECK_EQ(pthread_rwlock_unlock(&written), 0);
  for (pthread_t each : threads) join(each);
  for (pthread_rwlock_t* each : {&written, &was_read}) CHECK_EQ(pthread_rwlock_trywrlock(each), 0);
  join(announcer);
  return 0;
}
