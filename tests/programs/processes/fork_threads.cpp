// SPDX-License-Identifier: Apache-2.0
// A process with threads forks: the child has one thread, its own memory and working locks (pthread_atfork).
#include "tests/programs/program.h"

namespace {
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
std::atomic<bool> stop{false};
long value = 0;

void* work(void*) {
  while (!stop) {
    pthread_mutex_lock(&mutex);
    value++;
    free(malloc(static_cast<size_t>(value % 3000)));
    pthread_mutex_unlock(&mutex);
  }
  return nullptr;
}
}  // namespace

int main() {
  pthread_atfork([] { pthread_mutex_lock(&mutex); }, [] { pthread_mutex_unlock(&mutex); },
                 [] { pthread_mutex_unlock(&mutex); });
  pthread_t threads[3];
  for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, work, nullptr), 0);
  int forks = 0;
  {
    Go go;
    for (; !go.done(); forks++)
      EXPECT_END(child([] {
                   long seen = value;
                   pthread_t own;
                   CHECK_EQ(pthread_create(
                                &own, nullptr, [](void*) -> void* { return malloc(100); }, nullptr),
                            0);
                   void* block;
                   CHECK_EQ(pthread_join(own, &block), 0);
                   free(block);
                   CHECK_EQ(gettid(), getpid());
                   return value == seen ? 5 : 6;
                 }),
                 5);
  }
  stop = true;
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  CHECK(forks > 0);
  return 0;
}
