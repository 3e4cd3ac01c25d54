// SPDX-License-Identifier: Apache-2.0
// close_range closes or marks a range, also in a table that is shared no longer (CLOSE_RANGE_UNSHARE). A user would see
// a child with descriptors that it should not have.
#include <linux/close_range.h>

#include "tests/programs/program.h"

namespace {
bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
}  // namespace

int main() {
  close_range(3, 400, 0);
  for (int round = 0; round < 2; round++) {
    for (int fd = 10; fd < 30; fd++) CHECK_EQ(dup2(2, fd), fd);
    ready_and_wait();
    CHECK_EQ(close_range(12, 15, CLOSE_RANGE_CLOEXEC), 0);
    for (int fd = 10; fd < 30; fd++) CHECK_EQ(fcntl(fd, F_GETFD), fd >= 12 && fd <= 15 ? FD_CLOEXEC : 0);
    EXPECT_END(child([] {
                 return execl("/bin/sh", "sh", "-c",
                              "for n in 10 11 12 13 14 15 16; do [ -e /proc/self/fd/$n ] && c=$((c+1)); done; exit $c",
                              nullptr);
               }),
               3);
    pthread_t thread;  // it shares the table until it does not
    CHECK_EQ(pthread_create(
                 &thread, nullptr,
                 [](void*) -> void* {
                   CHECK_EQ(close_range(20, 21, 0), 0);
                   return nullptr;
                 },
                 nullptr),
             0);
    CHECK_EQ(pthread_join(thread, nullptr), 0);
    CHECK(!is_open(20) && !is_open(21) && is_open(22));
    CHECK_EQ(close_range(25, 1000, CLOSE_RANGE_UNSHARE), 0);
    CHECK(is_open(24) && !is_open(25) && !is_open(29));
    CHECK_ERRNO(close_range(5, 4, 0), EINVAL);
    CHECK_ERRNO(close_range(5, 6, 1U << 20), EINVAL);
    ready_and_wait();
    CHECK(is_open(24) && !is_open(25));
    CHECK_EQ(dup(2), 3);
    CHECK_EQ(close_range(3, ~0U, 0), 0);
    for (int fd = 3; fd < 40; fd++) CHECK(!is_open(fd));
  }
  return 0;
}
