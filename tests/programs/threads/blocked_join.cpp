// SPDX-License-Identifier: Apache-2.0
// The process is moved while one thread is blocked in a join, one on a mutex, one on a condition and one in a read.
#include "tests/programs/program.h"

namespace {
pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
bool told = false;
int pipe_ends[2];

void* on_mutex(void*) {
  CHECK_EQ(pthread_mutex_lock(&held), 0);
  CHECK_EQ(pthread_mutex_unlock(&held), 0);
  return reinterpret_cast<void*>(1L);
}
void* on_condition(void*) {
  pthread_mutex_lock(&mutex);
  while (!told) CHECK_EQ(pthread_cond_wait(&condition, &mutex), 0);
  pthread_mutex_unlock(&mutex);
  return reinterpret_cast<void*>(2L);
}
void* on_read(void*) {
  char byte;
  CHECK_EQ(read(pipe_ends[0], &byte, 1), 1);  // no EINTR: nobody sends a signal
  CHECK_EQ(byte, 'x');
  pthread_mutex_lock(&mutex);
  told = true;
  CHECK_EQ(pthread_cond_signal(&condition), 0);
  pthread_mutex_unlock(&mutex);
  CHECK_EQ(pthread_mutex_unlock(&held), 0);
  return reinterpret_cast<void*>(3L);
}
}  // namespace

int main() {
  CHECK_EQ(pipe(pipe_ends), 0);
  pthread_mutex_lock(&held);
  pthread_t threads[3];
  void* (*bodies[3])(void*) = {on_mutex, on_condition, on_read};
  for (int i = 0; i < 3; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, bodies[i], nullptr), 0);
  pid_t helper = after_go([] { write_all(pipe_ends[1], "x", 1); });
  announce("blocked");
  for (long i = 0; i < 3; i++) {
    void* result;
    CHECK_EQ(pthread_join(threads[i], &result), 0);
    CHECK_EQ(reinterpret_cast<long>(result), i + 1);
  }
  EXPECT_END(helper, 0);
  return 0;
}
