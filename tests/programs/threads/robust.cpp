// SPDX-License-Identifier: Apache-2.0
// A thread dies with a robust mutex in its hands after the moves: the next owner is told. Needs tids and the robust
// list to be right on the node where the thread dies.
#include "tests/programs/program.h"

namespace {
pthread_mutex_t mutexes[2];
pthread_barrier_t barrier;

void* die_with_it(void*) {
  CHECK_EQ(pthread_mutex_lock(&mutexes[0]), 0);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);  // the moves happen between these two
  CHECK_EQ(pthread_mutex_lock(&mutexes[1]), 0);
  return nullptr;
}
}  // namespace

int main() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  CHECK_EQ(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
  for (pthread_mutex_t& mutex : mutexes) CHECK_EQ(pthread_mutex_init(&mutex, &attributes), 0);
  pthread_barrier_init(&barrier, nullptr, 2);
  for (int round = 0; round < 2; round++) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, nullptr, die_with_it, nullptr), 0);
    pthread_barrier_wait(&barrier);
    CHECK_EQ(pthread_mutex_trylock(&mutexes[0]), EBUSY);
    ready_and_wait();
    CHECK_EQ(pthread_mutex_trylock(&mutexes[0]), EBUSY);
    pthread_barrier_wait(&barrier);
    CHECK_EQ(pthread_join(thread, nullptr), 0);
    for (pthread_mutex_t& mutex : mutexes) {
      CHECK_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
      CHECK_EQ(pthread_mutex_consistent(&mutex), 0);
      CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    }
  }
  return 0;
}
