// SPDX-License-Identifier: Apache-2.0
// Status flags belong to the open file (dup, fork), descriptor flags to the descriptor, and neither changes by a move.
// A user would see a log that no longer appends, or a blocking read that returns at once.
#include <sys/ioctl.h>

#include "tests/programs/program.h"

int main() {
  int fd = open("log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOATIME, 0600), same = dup(fd);
  int other = open("log", O_RDWR);
  CHECK(fd >= 0 && same >= 0 && other >= 0);
  CHECK_EQ(ioctl(fd, FIOCLEX), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NOATIME | O_NONBLOCK), O_RDWR | O_APPEND | O_NOATIME);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(same, F_GETFD), 0);
    CHECK_EQ(pwrite(fd, "x", 1, 0), 1);  // O_APPEND wins over the offset
    CHECK_EQ(lseek(fd, 0, SEEK_END), 1 + 2 * round);
    CHECK_EQ(fcntl(same, F_SETFL, O_NONBLOCK), 0);  // no O_APPEND, no O_NOATIME any more
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NOATIME | O_NONBLOCK), O_RDWR | O_NONBLOCK);
    CHECK_EQ(fcntl(other, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR);
    EXPECT_END(child([&] {
                 CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
                 CHECK_EQ(write(fd, "y", 1), 1);
                 int no = 0;
                 CHECK_EQ(ioctl(fd, FIONBIO, &no), 0);
                 CHECK_EQ(ioctl(fd, FIONCLEX), 0);  // of its own descriptor
                 return 0;
               }),
               0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 1);
    CHECK_EQ(fcntl(fd, F_SETFL, O_APPEND | O_NOATIME | O_RDONLY), 0);  // the access mode is not changed by it
    CHECK_EQ(write(fd, "z", 1), 1);
    CHECK_ERRNO(fcntl(fd, F_DUPFD_CLOEXEC, -1), EINVAL);
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 300);
    CHECK_EQ(high, 300);
    CHECK_EQ(fcntl(high, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(fcntl(high, 987'654), EINVAL);
    close(high);
  }
  CHECK_EQ(unlink("log"), 0);
  return 0;
}
