// SPDX-License-Identifier: Apache-2.0
// Thread ids are kept, name their thread for pthread_kill and tgkill, and pthread_getattr_np finds each stack.
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace {
constexpr int kThreads = 4;
pthread_barrier_t barrier;
std::atomic<int> tids[kThreads];
std::atomic<int> taken[kThreads + 1];  // by each thread, the last one is main
thread_local int self = kThreads;
thread_local volatile sig_atomic_t code = 0;

void hit(int, siginfo_t* info, void*) {
  taken[self]++;
  code = info->si_code;
}

void* work(void* argument) {
  long me = reinterpret_cast<long>(argument);
  self = static_cast<int>(me);
  tids[me] = static_cast<int>(syscall(SYS_gettid));
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);  // the moves happen between these two
  CHECK_EQ(syscall(SYS_gettid), tids[me].load());
  pthread_attr_t attributes;
  void* stack;
  size_t size;
  CHECK_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);
  CHECK_EQ(pthread_attr_getstack(&attributes, &stack, &size), 0);
  char* here = static_cast<char*>(__builtin_frame_address(0));
  CHECK(here > stack && here < static_cast<char*>(stack) + size);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);  // main sends the signals between these two
  double deadline = seconds() + 10;
  while (taken[me] < 2 && seconds() < deadline) usleep(1000);
  CHECK_EQ(taken[me].load(), 2);
  CHECK_EQ(code, SI_TKILL);
  return nullptr;
}
}  // namespace

int main() {
  on_signal(SIGUSR1, hit);
  CHECK_EQ(pthread_barrier_init(&barrier, nullptr, kThreads + 1), 0);
  pthread_t threads[kThreads];
  for (long i = 0; i < kThreads; i++)
    CHECK_EQ(pthread_create(&threads[i], nullptr, work, reinterpret_cast<void*>(i)), 0);
  pthread_barrier_wait(&barrier);
  ready_and_wait();
  CHECK_EQ(syscall(SYS_gettid), getpid());
  pthread_attr_t attributes;
  void* stack;
  size_t size;
  CHECK_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);  // the first thread's stack comes from /proc/self/maps
  CHECK_EQ(pthread_attr_getstack(&attributes, &stack, &size), 0);
  char* here = static_cast<char*>(__builtin_frame_address(0));
  CHECK(here > stack && here < static_cast<char*>(stack) + size);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kThreads; i++) {
    CHECK_EQ(pthread_kill(threads[i], 0), 0);
    CHECK_EQ(pthread_kill(threads[i], SIGUSR1), 0);
    // The second one only when the first was taken: two of a kind would merge.
    double deadline = seconds() + 10;
    while (taken[i] < 1 && seconds() < deadline) usleep(1000);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), tids[i].load(), SIGUSR1), 0);
  }
  CHECK_EQ(taken[kThreads].load(), 0);
  pthread_barrier_wait(&barrier);
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  // Who joins it is woken a moment before the kernel has forgotten it.
  const double deadline = seconds() + 10;
  while (syscall(SYS_tgkill, getpid(), tids[0].load(), 0) == 0 && seconds() < deadline) usleep(1000);
  CHECK_ERRNO(syscall(SYS_tgkill, getpid(), tids[0].load(), 0), ESRCH);
  return 0;
}
