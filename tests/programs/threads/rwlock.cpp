// SPDX-License-Identifier: Apache-2.0
// Readers never see a half-made change of the writers.
#include "tests/programs/program.h"

namespace {
pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
long pair[2];
std::atomic<bool> stop{false};

void* read_them(void*) {
  while (!stop) {
    CHECK_EQ(pthread_rwlock_rdlock(&lock), 0);
    long first = pair[0];
    sched_yield();
    CHECK_EQ(pair[1], first);
    CHECK_EQ(pthread_rwlock_unlock(&lock), 0);
  }
  return nullptr;
}
void* write_them(void*) {
  long own = 0;
  while (!stop) {
    CHECK_EQ(pthread_rwlock_wrlock(&lock), 0);
    pair[0]++;
    sched_yield();
    pair[1]++;
    CHECK_EQ(pthread_rwlock_unlock(&lock), 0);
    own++;
    sched_yield();
  }
  return reinterpret_cast<void*>(own);
}
}  // namespace

int main() {
  pthread_t readers[3], writers[2];
  for (pthread_t& thread : readers) CHECK_EQ(pthread_create(&thread, nullptr, read_them, nullptr), 0);
  for (pthread_t& thread : writers) CHECK_EQ(pthread_create(&thread, nullptr, write_them, nullptr), 0);
  {
    Go go;
    while (!go.done()) usleep(2000);
  }
  stop = true;
  for (pthread_t thread : readers) CHECK_EQ(pthread_join(thread, nullptr), 0);
  long total = 0;
  for (pthread_t thread : writers) {
    void* own;
    CHECK_EQ(pthread_join(thread, &own), 0);
    total += reinterpret_cast<long>(own);
  }
  CHECK_EQ(pair[0], total);
  return 0;
}
