// SPDX-License-Identifier: Apache-2.0
// Threads made before the moves are joined after them, with their results; new ones are made after them.
#include "tests/programs/program.h"

namespace {
std::atomic<bool> stop{false};
unsigned long steps[8];

void* count(void* argument) {
  long me = reinterpret_cast<long>(argument);
  Random random{static_cast<unsigned long>(me) + 1};
  do random.next(), steps[me]++;
  while (!stop);
  // The result depends on every step, so a lost or repeated one shows.
  Random again{static_cast<unsigned long>(me) + 1};
  for (unsigned long i = 0; i < steps[me]; i++) again.next();
  CHECK(random.state == again.state);
  return reinterpret_cast<void*>(me * 10);
}
}  // namespace

int main() {
  pthread_t threads[8];
  for (long round = 0; round < 2; round++) {
    for (long i = 0; i < 8; i++) {
      steps[i] = 0;
      CHECK_EQ(pthread_create(&threads[i], nullptr, count, reinterpret_cast<void*>(i)), 0);
    }
    Go go;
    while (!go.done()) sched_yield();
    stop = true;
    for (long i = 0; i < 8; i++) {
      void* result;
      CHECK_EQ(pthread_join(threads[i], &result), 0);
      CHECK_EQ(reinterpret_cast<long>(result), i * 10);
      CHECK(steps[i] > 0);
    }
    stop = false;
  }
  return 0;
}
