// SPDX-License-Identifier: Apache-2.0
// Semaphores between threads, pthread_once and thread-specific data with destructors.
#include <semaphore.h>

#include "tests/programs/program.h"

namespace {
sem_t items, space;
std::atomic<int> destroyed{0};
pthread_key_t key;
pthread_once_t once = PTHREAD_ONCE_INIT;
std::atomic<int> initialised{0};

void destroy(void* value) { destroyed += *static_cast<int*>(value); }

void* consume(void*) {
  static int one = 1;
  pthread_setspecific(key, &one);
  long taken = 0;
  while (true) {
    CHECK_EQ(sem_wait(&items), 0);
    taken++;
    CHECK_EQ(sem_post(&space), 0);
    if (taken % 100 == 0) pthread_once(&once, [] { initialised++; });
    CHECK(pthread_getspecific(key) == &one);
    int left;
    sem_getvalue(&items, &left);
    if (initialised == 100 && left == 0) break;
  }
  return reinterpret_cast<void*>(taken);
}
}  // namespace

int main() {
  CHECK_EQ(pthread_key_create(&key, destroy), 0);
  CHECK_EQ(sem_init(&items, 0, 0), 0);
  CHECK_EQ(sem_init(&space, 0, 10), 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, consume, nullptr), 0);
  long made = 0;
  {
    Go go;
    while (!go.done())
      for (int i = 0; i < 100; i++, made++) {
        CHECK_EQ(sem_wait(&space), 0);
        CHECK_EQ(sem_post(&items), 0);
      }
  }
  CHECK_EQ(initialised.load(), 1);
  initialised = 100;
  CHECK_EQ(sem_post(&items), 0);
  made++;
  void* taken;
  CHECK_EQ(pthread_join(thread, &taken), 0);
  CHECK_EQ(reinterpret_cast<long>(taken), made);
  CHECK_EQ(destroyed.load(), 1);
  return 0;
}
