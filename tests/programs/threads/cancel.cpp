// SPDX-License-Identifier: Apache-2.0
// Cancellation of a thread that is blocked in a call which is executed at home, with its clean-up handlers.
#include "tests/programs/program.h"

namespace {
int pipe_ends[2];
std::atomic<int> cleaned{0};

void* work(void*) {
  pthread_cleanup_push([](void*) { cleaned++; }, nullptr);
  char byte;
  (void)!read(pipe_ends[0], &byte, 1);
  FAIL("the read came back");
  pthread_cleanup_pop(0);
  return nullptr;
}
}  // namespace

int main() {
  CHECK_EQ(pipe(pipe_ends), 0);
  pthread_t threads[3];
  for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, work, nullptr), 0);
  ready_and_wait();
  for (pthread_t thread : threads) CHECK_EQ(pthread_cancel(thread), 0);
  for (pthread_t thread : threads) {
    void* result;
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
  }
  CHECK_EQ(cleaned.load(), 3);
  return 0;
}
