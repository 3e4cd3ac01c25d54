// SPDX-License-Identifier: Apache-2.0
// Names of threads, set by prctl and pthread_setname_np before and after moves, read back and seen in /proc.
#include <sys/prctl.h>

#include "tests/programs/program.h"

namespace {
pthread_barrier_t barrier;
std::atomic<int> tid{0};

void* work(void*) {
  tid = gettid();
  pthread_setname_np(pthread_self(), "worker one");
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  char name[16];
  CHECK_EQ(prctl(PR_GET_NAME, name), 0);
  CHECK(strcmp(name, "worker one") == 0);
  CHECK_EQ(prctl(PR_SET_NAME, "worker two"), 0);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  return nullptr;
}
}  // namespace

int main() {
  pthread_barrier_init(&barrier, nullptr, 2);
  pthread_t thread;
  CHECK_EQ(prctl(PR_SET_NAME, "leader"), 0);
  CHECK_EQ(pthread_create(&thread, nullptr, work, nullptr), 0);
  pthread_barrier_wait(&barrier);
  ready_and_wait();
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  char name[16], path[64], text[100];
  CHECK_EQ(pthread_getname_np(thread, name, sizeof name), 0);
  CHECK(strcmp(name, "worker two") == 0);
  CHECK_EQ(prctl(PR_GET_NAME, name), 0);
  CHECK(strcmp(name, "leader") == 0);
  slurp("/proc/self/comm", text);
  CHECK(strcmp(text, "leader\n") == 0);
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid.load());
  slurp(path, text);
  CHECK(strcmp(text, "worker two\n") == 0);
  pthread_barrier_wait(&barrier);
  CHECK_EQ(pthread_join(thread, nullptr), 0);
  return 0;
}
