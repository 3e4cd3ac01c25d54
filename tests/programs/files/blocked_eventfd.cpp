// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in a read of an empty eventfd, and in a write to a full one: each count arrives once. A user
// would see a worker that does a job twice or sleeps through it.
#include <sys/eventfd.h>

#include "tests/programs/program.h"

int main() {
  int fd = eventfd(0, 0), semaphore = eventfd(0, EFD_SEMAPHORE);
  CHECK(fd >= 0 && semaphore >= 0);
  pid_t helper = after_go([&] { CHECK_EQ(eventfd_write(fd, 77), 0); });
  eventfd_t value = 0;
  announce("blocked");
  CHECK_EQ(eventfd_read(fd, &value), 0);
  CHECK_EQ(value, 77);
  EXPECT_END(helper, 0);

  helper = after_go([&] { CHECK_EQ(eventfd_write(semaphore, 2), 0); });
  announce("blocked");
  CHECK_EQ(eventfd_read(semaphore, &value), 0);
  CHECK_EQ(value, 1);
  EXPECT_END(helper, 0);
  CHECK_EQ(eventfd_read(semaphore, &value), 0);

  CHECK_EQ(eventfd_write(fd, ~0UL - 1), 0);  // full
  helper = after_go([&] {
    eventfd_t got = 0;
    CHECK_EQ(eventfd_read(fd, &got), 0);
    CHECK(got == ~0UL - 1);
  });
  announce("blocked");
  CHECK_EQ(eventfd_write(fd, 5), 0);
  EXPECT_END(helper, 0);
  CHECK_EQ(eventfd_read(fd, &value), 0);
  CHECK_EQ(value, 5);
  CHECK_ERRNO(eventfd_write(fd, ~0UL), EINVAL);
  return 0;
}
