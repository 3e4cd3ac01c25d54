// SPDX-License-Identifier: Apache-2.0
// FUTEX_CMP_REQUEUE: of three waiters one wakes and two are put on another word; a wrong old value is EAGAIN. If it
// were wrong, waiters of old condition variables would be lost or would all wake at once.
#include <linux/futex.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

static int first = 7, second = 9;
static std::atomic<int> entered, woken;

static long futex(int* word, int op, int value, long value2, int* word2, int value3) {
  return syscall(SYS_futex, word, op, value, value2, word2, value3);
}

static void* waiter(void*) {
  entered++;
  long got = futex(&first, FUTEX_WAIT_PRIVATE, 7, 0, nullptr, 0);
  CHECK_EQ(got, 0);
  woken++;
  return nullptr;
}

int main() {
  ready_and_wait();
  pthread_t threads[3];
  for (auto& thread : threads) CHECK_EQ(pthread_create(&thread, nullptr, waiter, nullptr), 0);
  while (entered != 3) sched_yield();
  CHECK_ERRNO(futex(&first, FUTEX_CMP_REQUEUE_PRIVATE, 1, 9, &second, 8), EAGAIN);
  CHECK_EQ(woken, 0);
  long moved = 0;  // those woken and those put on the other word, until all three have come
  while (moved < 3) moved += futex(&first, FUTEX_CMP_REQUEUE_PRIVATE, moved ? 0 : 1, 9, &second, 7);
  CHECK_EQ(moved, 3);
  CHECK_EQ(futex(&first, FUTEX_WAKE_PRIVATE, 9, 0, nullptr, 0), 0);
  CHECK_EQ(futex(&second, FUTEX_WAKE_PRIVATE, 9, 0, nullptr, 0), 2);
  for (auto& thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  CHECK_EQ(woken, 3);
}
