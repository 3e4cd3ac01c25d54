// SPDX-License-Identifier: Apache-2.0
// The CPUs that each thread may use are the program's own setting over moves. A user would see a program that counts
// its CPUs (nproc, OpenMP) start another number of threads after a move.
#include <sched.h>

#include "tests/programs/program.h"

namespace {
cpu_set_t all, one;
void expect(const cpu_set_t& want, pid_t tid = 0) {
  cpu_set_t now;
  CHECK_EQ(sched_getaffinity(tid, sizeof now, &now), 0);
  CHECK(CPU_EQUAL(&now, &want));
}
pid_t other_tid;
pthread_barrier_t barrier;
void meet() { pthread_barrier_wait(&barrier); }
}  // namespace

int main() {
  CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &all)) cpu++;
  CPU_SET(cpu, &one);
  CHECK_EQ(pthread_barrier_init(&barrier, nullptr, 2), 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(
               &thread, nullptr,
               [](void*) -> void* {
                 other_tid = gettid();
                 CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
                 for (int i = 0; i < 3; i++) meet(), expect(one), meet();
                 return nullptr;
               },
               nullptr),
           0);
  for (int round = 0; round < 3; round++) {
    if (round > 0) ready_and_wait();
    meet();
    expect(all);
    expect(one, other_tid);
    CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN) >= CPU_COUNT(&all), 1);
    EXPECT_END(child([] {
                 expect(all);
                 CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
                 return WEXITSTATUS(system("exit $(nproc)"));
               }),
               1);
    cpu_set_t none;
    CPU_ZERO(&none);
    CHECK_ERRNO(sched_setaffinity(0, sizeof none, &none), EINVAL);
    CHECK_ERRNO(sched_getaffinity(0, 1, &none), EINVAL);
    meet();
  }
  CHECK_EQ(pthread_join(thread, nullptr), 0);
  return 0;
}
