// SPDX-License-Identifier: Apache-2.0
// Moved while threads wait for a priority-inheriting mutex, with and without a time-out: the kernel knows its owner and
// its waiters, and hands it over from one to the next. A user would see EDEADLK, ESRCH or a lock that two have.
#include "tests/programs/waits.h"

namespace {
pthread_mutex_t mutex;
int inside = 0, turns = 0;

void take() {
  CHECK_EQ(pthread_mutex_lock(&mutex), 0);
  CHECK_EQ(inside++, 0);
  sched_yield();
  CHECK_EQ(--inside, 0);
  turns++;
  CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
}
void take_in_vain() {
  const double start = seconds();
  const timespec until = after_ms(CLOCK_REALTIME, kWaitMs);
  CHECK_EQ(pthread_mutex_timedlock(&mutex, &until), ETIMEDOUT);
  expect_waited(start, kWaitMs, "pthread_mutex_timedlock");
}
}  // namespace

int main() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  CHECK_EQ(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT), 0);
  CHECK_EQ(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK), 0);
  CHECK_EQ(pthread_mutex_init(&mutex, &attributes), 0);
  CHECK_EQ(pthread_mutex_lock(&mutex), 0);
  pthread_t threads[] = {thread(take), thread(take), thread(take)};
  pthread_t timed = thread(take_in_vain);
  pthread_t announcer = announce_later();
  join(timed);
  CHECK_EQ(turns, 0);
  CHECK_EQ(pthread_mutex_lock(&mutex), EDEADLK);
  CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
  CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
  for (pthread_t each : threads) join(each);
  CHECK_EQ(turns, 3);
  CHECK_EQ(pthread_mutex_trylock(&mutex), 0);
  join(announcer);
  return 0;
}
