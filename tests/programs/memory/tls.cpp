// SPDX-License-Identifier: Apache-2.0
// Thread-local variables of every thread, and errno, belong to their thread still.
#include "tests/programs/program.h"

namespace {

thread_local int number = 7;
thread_local char text[100] = "initial";
pthread_barrier_t barrier;

void* work(void* argument) {
  int me = static_cast<int>(reinterpret_cast<long>(argument));
  CHECK_EQ(number, 7);
  number = 1000 + me;
  snprintf(text, sizeof text, "thread %d", me);
  errno = me;
  int* where = &number;
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);  // the moves happen between these two
  int kept = errno;
  CHECK_EQ(kept, me);
  CHECK(where == &number);
  CHECK_EQ(number, 1000 + me);
  char want[100];
  snprintf(want, sizeof want, "thread %d", me);
  CHECK(strcmp(text, want) == 0);
  return nullptr;
}

}  // namespace

int main() {
  pthread_t threads[6];
  CHECK_EQ(pthread_barrier_init(&barrier, nullptr, 7), 0);
  for (long i = 0; i < 6; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, work, reinterpret_cast<void*>(i + 1)), 0);
  number = 555;
  pthread_barrier_wait(&barrier);
  ready_and_wait();
  CHECK_EQ(number, 555);
  pthread_barrier_wait(&barrier);
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  // A thread born after the moves starts with the initial values.
  pthread_t late;
  CHECK_EQ(pthread_barrier_init(&barrier, nullptr, 1), 0);
  CHECK_EQ(pthread_create(&late, nullptr, work, reinterpret_cast<void*>(9L)), 0);
  CHECK_EQ(pthread_join(late, nullptr), 0);
  return 0;
}
