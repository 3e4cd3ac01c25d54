// SPDX-License-Identifier: Apache-2.0
// Moved while threads wait on a condition variable: some for ever, some until a time of either clock. One is signalled,
// then all; those nobody tells anything end when their time has come.
#include "tests/programs/waits.h"

namespace {
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t told = PTHREAD_COND_INITIALIZER;
int tickets = 0;
std::atomic<int> served;

void take_ticket() {
  pthread_mutex_lock(&mutex);
  while (tickets == 0) CHECK_EQ(pthread_cond_wait(&told, &mutex), 0);
  tickets--;
  served++;
  pthread_mutex_unlock(&mutex);
}
void give(int count) {
  pthread_mutex_lock(&mutex);
  tickets += count;
  CHECK_EQ(count == 1 ? pthread_cond_signal(&told) : pthread_cond_broadcast(&told), 0);
  pthread_mutex_unlock(&mutex);
}
void wait_in_vain(clockid_t clock, long ms) {
  pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t nobody = PTHREAD_COND_INITIALIZER;
  pthread_mutex_lock(&own);
  const double start = seconds();
  const timespec until = after_ms(clock, ms);
  int got;
  while ((got = pthread_cond_clockwait(&nobody, &own, clock, &until)) == 0) {
  }
  CHECK_EQ(got, ETIMEDOUT);
  expect_waited(start, ms, "pthread_cond_clockwait");
  CHECK_EQ(pthread_mutex_trylock(&own), EBUSY);
}
}  // namespace

int main() {
  pthread_t takers[] = {thread(take_ticket), thread(take_ticket), thread(take_ticket)};
  pthread_t timed = thread([] { wait_in_vain(CLOCK_REALTIME, kWaitMs + 50); });
  pthread_t announcer = announce_later();
  wait_in_vain(CLOCK_MONOTONIC, kWaitMs);
  join(timed);
  CHECK_EQ(served, 0);
  give(1);
  while (served == 0) usleep(1000);
  give(2);
  for (pthread_t each : takers) join(each);
  CHECK_EQ(served, 3);
  CHECK_EQ(tickets, 0);
  join(announcer);
  return 0;
}
