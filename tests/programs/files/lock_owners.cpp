// SPDX-License-Identifier: Apache-2.0
// Who owns a lock: fcntl's belong to the process and end with any close of the file, OFD locks and flock's to the open
// file. A user would see a mailbox written by two at once.
#include <sys/file.h>

#include "tests/programs/program.h"

namespace {
int lock(int fd, int command, short type, off_t from) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_start = from;
  lock.l_len = 10;
  return fcntl(fd, command, &lock);
}
}  // namespace

int main() {
  int a = open("mailbox", O_RDWR | O_CREAT | O_TRUNC, 0600), b = open("mailbox", O_RDWR), c = dup(a);
  CHECK(a >= 0 && b >= 0 && c >= 0);
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(lock(a, F_OFD_SETLK, F_WRLCK, 0), 0);
    CHECK_EQ(lock(a, F_SETLK, F_WRLCK, 100), 0);
    CHECK_EQ(flock(a, LOCK_EX), 0);
    ready_and_wait();
    CHECK_ERRNO(lock(b, F_OFD_SETLK, F_RDLCK, 5), EAGAIN);
    CHECK_EQ(lock(c, F_OFD_SETLK, F_RDLCK, 5), 0);      // the same open file
    CHECK_ERRNO(lock(b, F_SETLK, F_WRLCK, 9), EAGAIN);  // the two kinds exclude each other
    CHECK_EQ(lock(b, F_SETLK, F_WRLCK, 100), 0);        // the same process
    CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(flock(c, LOCK_SH | LOCK_NB), 0);  // it changes the one that a has
    CHECK_EQ(flock(b, LOCK_SH | LOCK_NB), 0);
    CHECK_EQ(flock(b, LOCK_UN), 0);
    EXPECT_END(child([&] {
                 CHECK_ERRNO(lock(a, F_SETLK, F_RDLCK, 100), EAGAIN);  // not inherited
                 CHECK_EQ(lock(a, F_OFD_SETLK, F_WRLCK, 0), 0);        // shared
                 CHECK_EQ(flock(a, LOCK_UN), 0);
                 return 0;
               }),
               0);
    CHECK_EQ(flock(b, LOCK_EX | LOCK_NB), 0);  // the child gave up the parent's
    CHECK_EQ(flock(b, LOCK_UN), 0);
    close(open("mailbox", O_RDONLY));  // any close ends all of the process'
    EXPECT_END(child([&] {
                 CHECK_EQ(lock(b, F_SETLK, F_WRLCK, 100), 0);
                 return 0;
               }),
               0);
    CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 0), EAGAIN);  // but not OFD locks
    CHECK_EQ(lock(c, F_OFD_SETLK, F_UNLCK, 0), 0);
    CHECK_EQ(lock(c, F_OFD_SETLK, F_UNLCK, 10), 0);
  }
  CHECK_EQ(unlink("mailbox"), 0);
  return 0;
}
