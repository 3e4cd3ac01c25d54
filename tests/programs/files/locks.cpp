// SPDX-License-Identifier: Apache-2.0
// flock and fcntl locks keep their owners over moves, exclude others, and end with the process.
#include <sys/file.h>

#include "tests/programs/program.h"

namespace {
struct flock range(short type, off_t from, off_t length) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = from;
  lock.l_len = length;
  return lock;
}
}  // namespace

int main() {
  int fd = open("locked", O_RDWR | O_CREAT | O_TRUNC, 0600), second = open("locked", O_RDWR);
  CHECK(fd >= 0 && second >= 0);
  CHECK_EQ(flock(fd, LOCK_EX), 0);
  struct flock mine = range(F_WRLCK, 10, 5);
  CHECK_EQ(fcntl(fd, F_SETLK, &mine), 0);
  pid_t parent = getpid();
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_ERRNO(flock(second, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    EXPECT_END(child([&] {
                 struct flock other = range(F_WRLCK, 0, 100);
                 CHECK_EQ(fcntl(fd, F_GETLK, &other), 0);
                 CHECK_EQ(other.l_type, F_WRLCK);
                 CHECK_EQ(other.l_pid, parent);
                 CHECK_EQ(other.l_start, 10);
                 CHECK_EQ(other.l_len, 5);
                 other = range(F_RDLCK, 12, 1);
                 errno = 0;
                 CHECK(fcntl(fd, F_SETLK, &other) == -1 && (errno == EAGAIN || errno == EACCES));
                 other = range(F_RDLCK, 20, 1);
                 CHECK_EQ(fcntl(fd, F_SETLK, &other), 0);
                 return 0;
               }),
               0);
  }
  // The child's lock ended with it; a part of ours is given back.
  struct flock all = range(F_WRLCK, 15, 0);
  CHECK_EQ(fcntl(fd, F_SETLK, &all), 0);
  struct flock part = range(F_UNLCK, 0, 12);
  CHECK_EQ(fcntl(fd, F_SETLK, &part), 0);
  EXPECT_END(child([&] {
               struct flock other = range(F_WRLCK, 0, 12);
               return fcntl(fd, F_SETLK, &other);
             }),
             0);
  CHECK_EQ(flock(fd, LOCK_UN), 0);
  CHECK_EQ(flock(second, LOCK_SH | LOCK_NB), 0);
  CHECK_EQ(unlink("locked"), 0);
  return 0;
}
