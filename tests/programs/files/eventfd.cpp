// SPDX-License-Identifier: Apache-2.0
// eventfd: counting, semaphore mode, and a thread blocked in its read while the process moves.
#include <sys/eventfd.h>

#include "tests/programs/program.h"

namespace {
int waited;
void* wait_on_it(void*) {
  eventfd_t value;
  CHECK_EQ(eventfd_read(waited, &value), 0);
  return reinterpret_cast<void*>(value);
}
}  // namespace

int main() {
  int counter = eventfd(3, EFD_NONBLOCK), semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
  waited = eventfd(0, 0);
  CHECK(counter >= 0 && semaphore >= 0 && waited >= 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, wait_on_it, nullptr), 0);
  ready_and_wait();
  eventfd_t value;
  CHECK_EQ(eventfd_write(counter, 4), 0);
  CHECK_EQ(eventfd_read(counter, &value), 0);
  CHECK_EQ(value, 7);
  CHECK_ERRNO(eventfd_read(counter, &value), EAGAIN);
  CHECK_EQ(eventfd_read(semaphore, &value), 0);
  CHECK_EQ(value, 1);
  CHECK_EQ(eventfd_read(semaphore, &value), 0);
  CHECK_ERRNO(eventfd_read(semaphore, &value), EAGAIN);
  CHECK_EQ(eventfd_write(waited, 99), 0);
  void* result;
  CHECK_EQ(pthread_join(thread, &result), 0);
  CHECK_EQ(reinterpret_cast<long>(result), 99);
  return 0;
}
