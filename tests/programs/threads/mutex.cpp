// SPDX-License-Identifier: Apache-2.0
// Contended mutexes (normal, recursive, error-checking) exclude each other all through the moves.
#include "tests/programs/program.h"

namespace {
pthread_mutex_t mutexes[3];
long counters[3];
std::atomic<bool> stop{false};

void* work(void*) {
  long own = 0;
  while (!stop) {
    int i = static_cast<int>(own++ % 3);
    CHECK_EQ(pthread_mutex_lock(&mutexes[i]), 0);
    if (i == 1) CHECK_EQ(pthread_mutex_lock(&mutexes[i]), 0);
    if (i == 2) CHECK_EQ(pthread_mutex_lock(&mutexes[i]), EDEADLK);
    long seen = counters[i];
    if (own % 50 == 0) sched_yield();
    counters[i] = seen + 1;
    if (i == 1) CHECK_EQ(pthread_mutex_unlock(&mutexes[i]), 0);
    CHECK_EQ(pthread_mutex_unlock(&mutexes[i]), 0);
  }
  return reinterpret_cast<void*>(own);
}
}  // namespace

int main() {
  int kinds[3] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
  for (int i = 0; i < 3; i++) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    CHECK_EQ(pthread_mutexattr_settype(&attributes, kinds[i]), 0);
    CHECK_EQ(pthread_mutex_init(&mutexes[i], &attributes), 0);
  }
  pthread_t threads[5];
  for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, work, nullptr), 0);
  {
    Go go;
    while (!go.done()) usleep(2000);
  }
  stop = true;
  long total = 0;
  for (pthread_t thread : threads) {
    void* result;
    CHECK_EQ(pthread_join(thread, &result), 0);
    total += reinterpret_cast<long>(result);
  }
  CHECK_EQ(counters[0] + counters[1] + counters[2], total);
  return 0;
}
