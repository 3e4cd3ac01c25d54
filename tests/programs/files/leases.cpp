// SPDX-License-Identifier: Apache-2.0
// Leases and F_NOTIFY tell by signals, with the descriptor in the siginfo, what others do to a file or a directory. A
// user would see a file server or a desktop with stale contents.
#include "tests/programs/program.h"

int main() {
  int made = open("leased", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(made >= 0);
  close(made);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  sigaddset(&set, SIGRTMIN + 4);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, nullptr), 0);
  int fd = open("leased", O_RDONLY), place = open(".", O_RDONLY | O_DIRECTORY);
  CHECK_EQ(fcntl(place, F_SETSIG, SIGRTMIN + 4), 0);
  CHECK_EQ(fcntl(place, F_NOTIFY, DN_CREATE | DN_MULTISHOT), 0);
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(fcntl(fd, F_SETSIG, SIGRTMIN + 3), 0);  // forgotten with each F_UNLCK
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
    ready_and_wait();
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_WRLCK);
    EXPECT_END(child([] {
                 CHECK_ERRNO(open("leased", O_RDONLY | O_NONBLOCK), EWOULDBLOCK);
                 int other = open("another", O_WRONLY | O_CREAT, 0600);
                 return other >= 0 ? 0 : 1;
               }),
               0);
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 3);
    CHECK_EQ(info.si_fd, fd);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);  // a reader came: that is enough
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 4);
    CHECK_EQ(info.si_fd, place);
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_RDLCK), 0);
    ready_and_wait();
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
    EXPECT_END(child([] { return open("leased", O_RDONLY | O_NONBLOCK) >= 0 ? 0 : 1; }), 0);
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
    CHECK_EQ(unlink("another"), 0);
  }
  timespec none = {};
  CHECK_ERRNO(sigtimedwait(&set, nullptr, &none), EAGAIN);
  CHECK_EQ(unlink("leased"), 0);
  return 0;
}
