// SPDX-License-Identifier: Apache-2.0
// Time-outs of futexes: cond_timedwait, sem_timedwait and mutex_timedlock end when they should, moved or not.
#include <semaphore.h>

#include "tests/programs/program.h"

namespace {
constexpr double kWait = 2.0;

timespec deadline(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  t.tv_sec += 2;
  return t;
}

void* on_semaphore(void*) {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  timespec until = deadline(CLOCK_REALTIME);
  CHECK_ERRNO(sem_timedwait(&semaphore, &until), ETIMEDOUT);
  return nullptr;
}
void* on_mutex(void* mutex) {
  timespec until = deadline(CLOCK_REALTIME);
  CHECK_EQ(pthread_mutex_timedlock(static_cast<pthread_mutex_t*>(mutex), &until), ETIMEDOUT);
  return nullptr;
}
}  // namespace

int main() {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  pthread_t threads[2];
  double start = seconds();
  CHECK_EQ(pthread_create(&threads[0], nullptr, on_semaphore, nullptr), 0);
  CHECK_EQ(pthread_create(&threads[1], nullptr, on_mutex, &mutex), 0);
  announce("blocked", 1, 1900);
  pthread_cond_t condition;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&condition, &attributes);
  timespec until = deadline(CLOCK_MONOTONIC);
  pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&own);
  int got;
  while ((got = pthread_cond_timedwait(&condition, &own, &until)) == 0) {
  }
  CHECK_EQ(got, ETIMEDOUT);
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  double took = seconds() - start;
  if (took < kWait || took > kWait + 1.5) FAIL("the waits of %.1f s took %.3f s", kWait, took);
  return 0;
}
