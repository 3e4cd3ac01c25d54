// SPDX-License-Identifier: Apache-2.0
// Threads run through barriers in step; exactly one of each round is the serial one.
#include "tests/programs/program.h"

namespace {
constexpr int kThreads = 5;
pthread_barrier_t barrier;
std::atomic<long> arrived{0}, serial{0};
std::atomic<bool> asked{false}, stop{false};

void* work(void*) {
  long round = 0;
  while (true) {
    arrived++;
    int got = pthread_barrier_wait(&barrier);
    CHECK(got == 0 || got == PTHREAD_BARRIER_SERIAL_THREAD);
    CHECK_EQ(arrived.load(), ++round * kThreads);
    // Only the serial thread decides, between two barriers, so that all leave in the same round.
    if (got != 0) serial++, stop = asked.load();
    pthread_barrier_wait(&barrier);
    if (stop) return reinterpret_cast<void*>(round);
  }
}
}  // namespace

int main() {
  CHECK_EQ(pthread_barrier_init(&barrier, nullptr, kThreads), 0);
  pthread_t threads[kThreads];
  for (pthread_t& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, work, nullptr), 0);
  {
    Go go;
    while (!go.done()) usleep(2000);
  }
  asked = true;
  for (pthread_t thread : threads) {
    void* rounds;
    CHECK_EQ(pthread_join(thread, &rounds), 0);
    CHECK_EQ(reinterpret_cast<long>(rounds), serial.load());
  }
  return 0;
}
