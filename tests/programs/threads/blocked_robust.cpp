// SPDX-License-Identifier: Apache-2.0
// Moved while a thread waits for robust mutexes, a plain and a priority-inheriting one, whose owner then dies with
// them: the waiter gets them with EOWNERDEAD, a second one sees what the first has made of them. Else it waits for
// ever.
#include "tests/programs/waits.h"

namespace {
pthread_mutex_t mutexes[3];
std::atomic<int> inherited, lost;

void init(pthread_mutex_t& mutex, int protocol) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  CHECK_EQ(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
  CHECK_EQ(pthread_mutexattr_setprotocol(&attributes, protocol), 0);
  CHECK_EQ(pthread_mutex_init(&mutex, &attributes), 0);
}
void inherit(pthread_mutex_t& mutex) {
  CHECK_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
  CHECK_EQ(pthread_mutex_consistent(&mutex), 0);
  CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
  inherited++;
}
// One of two gets it and gives it up for good; the other one is told so.
void give_up() {
  const int got = pthread_mutex_lock(&mutexes[2]);
  if (got == ENOTRECOVERABLE) {
    lost++;
    return;
  }
  CHECK_EQ(got, EOWNERDEAD);
  CHECK_EQ(pthread_mutex_unlock(&mutexes[2]), 0);
}
}  // namespace

int main() {
  init(mutexes[0], PTHREAD_PRIO_NONE);
  init(mutexes[1], PTHREAD_PRIO_INHERIT);
  init(mutexes[2], PTHREAD_PRIO_NONE);
  pthread_barrier_t has_them;
  pthread_barrier_init(&has_them, nullptr, 2);
  pthread_t owner = thread([&has_them] {
    for (auto& mutex : mutexes) CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    pthread_barrier_wait(&has_them);
    if (!getenv("OMIG_TEST_FIFOS")) usleep(200'000);
    wait_for_go();
    CHECK_EQ(inherited + lost, 0);
  });
  pthread_barrier_wait(&has_them);
  pthread_t threads[] = {thread([] { inherit(mutexes[0]); }), thread([] { inherit(mutexes[1]); }), thread(give_up),
                         thread(give_up)};
  announce("blocked");
  join(owner);
  for (pthread_t each : threads) join(each);
  CHECK_EQ(inherited, 2);
  CHECK_EQ(lost, 1);
  for (int i = 0; i < 2; i++) CHECK_EQ(pthread_mutex_trylock(&mutexes[i]), 0);
  CHECK_EQ(pthread_mutex_trylock(&mutexes[2]), ENOTRECOVERABLE);
  return 0;
}
