// SPDX-License-Identifier: Apache-2.0
// Priority-inheritance mutexes: the kernel knows the owner by its tid, also after the moves.
#include "tests/programs/program.h"

namespace {
pthread_mutex_t mutex;
long counter = 0;
std::atomic<bool> stop{false};

void* work(void*) {
  long own = 0;
  while (!stop) {
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    long seen = counter;
    if (own % 20 == 0) sched_yield();
    counter = seen + 1;
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    own++;
  }
  return reinterpret_cast<void*>(own);
}
}  // namespace

int main() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  CHECK_EQ(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT), 0);
  CHECK_EQ(pthread_mutex_init(&mutex, &attributes), 0);
  pthread_t threads[4];
  CHECK_EQ(pthread_mutex_lock(&mutex), 0);
  for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, work, nullptr), 0);
  ready_and_wait();  // all four wait in the kernel for a lock that this thread owns
  CHECK_EQ(counter, 0);
  CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
  {
    Go go;
    while (!go.done()) usleep(2000);
  }
  stop = true;
  long total = 0;
  for (pthread_t thread : threads) {
    void* own;
    CHECK_EQ(pthread_join(thread, &own), 0);
    total += reinterpret_cast<long>(own);
  }
  CHECK_EQ(counter, total);
  return 0;
}
