// SPDX-License-Identifier: Apache-2.0
// A hundred threads, each asleep on its own condition, are moved and all come back.
#include "tests/programs/program.h"

namespace {
constexpr int kThreads = 100;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t conditions[kThreads];
int told = -1;

void* sleep_until_told(void* argument) {
  long me = reinterpret_cast<long>(argument);
  char path[64];
  pthread_mutex_lock(&mutex);
  while (told < me) pthread_cond_wait(&conditions[me], &mutex);
  pthread_mutex_unlock(&mutex);
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", gettid());
  CHECK_EQ(access(path, R_OK), 0);
  return argument;
}
}  // namespace

int main() {
  pthread_t threads[kThreads];
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 128 << 10);
  for (long i = 0; i < kThreads; i++) {
    pthread_cond_init(&conditions[i], nullptr);
    CHECK_EQ(pthread_create(&threads[i], &small, sleep_until_told, reinterpret_cast<void*>(i)), 0);
  }
  ready_and_wait();
  for (long i = 0; i < kThreads; i++) {
    pthread_mutex_lock(&mutex);
    told = static_cast<int>(i);
    pthread_cond_signal(&conditions[i]);
    pthread_mutex_unlock(&mutex);
    void* result;
    CHECK_EQ(pthread_join(threads[i], &result), 0);
    CHECK(result == reinterpret_cast<void*>(i));
  }
  return 0;
}
