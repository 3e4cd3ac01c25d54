// SPDX-License-Identifier: Apache-2.0
// Two threads play ping-pong over condition variables: no wake-up may be lost over the moves.
#include "tests/programs/program.h"

namespace {
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t changed[2] = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER};
int turn = 0;
bool stop = false;
long rallies[2];

void* play(void* argument) {
  int me = static_cast<int>(reinterpret_cast<long>(argument));
  pthread_mutex_lock(&mutex);
  while (true) {
    while (turn != me && !stop) CHECK_EQ(pthread_cond_wait(&changed[me], &mutex), 0);
    if (stop) break;
    rallies[me]++;
    turn = !me;
    CHECK_EQ(pthread_cond_signal(&changed[!me]), 0);
  }
  CHECK_EQ(pthread_cond_broadcast(&changed[!me]), 0);
  pthread_mutex_unlock(&mutex);
  return nullptr;
}
}  // namespace

int main() {
  pthread_t threads[2];
  for (long i = 0; i < 2; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, play, reinterpret_cast<void*>(i)), 0);
  {
    Go go;
    while (!go.done()) usleep(2000);
  }
  // Still playing after the last move, not only before the first.
  pthread_mutex_lock(&mutex);
  long before = rallies[0];
  pthread_mutex_unlock(&mutex);
  double deadline = seconds() + 10;
  while (true) {
    pthread_mutex_lock(&mutex);
    long now = rallies[0];
    if (now > before + 100) break;
    pthread_mutex_unlock(&mutex);
    if (seconds() > deadline) FAIL("the rally stopped at %ld", now);
    sched_yield();
  }
  stop = true;
  pthread_cond_broadcast(&changed[0]);
  pthread_cond_broadcast(&changed[1]);
  pthread_mutex_unlock(&mutex);
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  CHECK(labs(rallies[0] - rallies[1]) <= 1);
  return 0;
}
