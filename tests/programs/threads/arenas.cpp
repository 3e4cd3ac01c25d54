// SPDX-License-Identifier: Apache-2.0
// Threads allocate, fill, hand over and free memory of each other's arenas while the process moves.
#include "tests/programs/program.h"

namespace {
struct Item {
  unsigned long seed, length, sum;
};
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
Item* queue[64];
std::atomic<bool> stop{false};

void* work(void* argument) {
  Random random{reinterpret_cast<unsigned long>(argument) * 77 + 1};
  while (!stop) {
    size_t length = 1 + random.next() % 5000;
    auto* item = static_cast<Item*>(malloc(sizeof(Item) + length));
    CHECK(item);
    *item = {random.next(), length, 0};
    fill(item + 1, length, item->seed);
    item->sum = hash(item + 1, length);
    pthread_mutex_lock(&mutex);
    Item*& place = queue[random.next() % 64];
    Item* other = place;
    place = item;
    pthread_mutex_unlock(&mutex);
    if (other) {
      CHECK(hash(other + 1, other->length) == other->sum);
      free(other);
    }
  }
  return nullptr;
}
}  // namespace

int main() {
  pthread_t threads[4];
  for (long i = 0; i < 4; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, work, reinterpret_cast<void*>(i)), 0);
  {
    Go go;
    while (!go.done()) usleep(2000);
  }
  stop = true;
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  for (Item* item : queue)
    if (item) CHECK(hash(item + 1, item->length) == item->sum);
  return 0;
}
