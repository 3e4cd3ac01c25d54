// SPDX-License-Identifier: Apache-2.0
// Threads are created, joined and detached all the time while the process moves.
#include "tests/programs/program.h"

namespace {
std::atomic<long> sum{0};
std::atomic<int> detached{0};

void* add(void* argument) {
  sum += reinterpret_cast<long>(argument);
  return argument;
}
void* add_detached(void* argument) {
  sum += reinterpret_cast<long>(argument);
  detached--;
  return nullptr;
}
}  // namespace

int main() {
  long want = 0;
  Go go;
  for (long round = 1; !go.done(); round++) {
    pthread_t threads[4];
    for (long i = 0; i < 4; i++, want += round)
      CHECK_EQ(pthread_create(&threads[i], nullptr, add, reinterpret_cast<void*>(round)), 0);
    pthread_t lone;
    detached++;
    CHECK_EQ(pthread_create(&lone, nullptr, add_detached, reinterpret_cast<void*>(1L)), 0);
    CHECK_EQ(pthread_detach(lone), 0);
    want++;
    for (pthread_t thread : threads) {
      void* result;
      CHECK_EQ(pthread_join(thread, &result), 0);
      CHECK_EQ(reinterpret_cast<long>(result), round);
    }
    while (detached > 50) sched_yield();
  }
  while (detached > 0) sched_yield();
  CHECK_EQ(sum.load(), want);
  return 0;
}
