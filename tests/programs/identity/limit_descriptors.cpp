// SPDX-License-Identifier: Apache-2.0
// RLIMIT_NOFILE counts the program's own descriptors only: it may open as many away as at home. A user would see
// "Too many open files" after a move, or descriptors beyond the limit.
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/programs/program.h"

int main() {
  for (int fd = 3; fd < 500; fd++) close(fd);
  rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit small = {20, limit.rlim_max};
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &small), 0);
    CHECK_EQ(small.rlim_cur, 20);
    for (int want = 3; want < 20; want++) CHECK_EQ(open("/dev/null", O_RDONLY), want);
    int ends[2];
    CHECK_ERRNO(open("/dev/null", O_RDONLY), EMFILE);
    CHECK_ERRNO(dup(0), EMFILE);
    CHECK_ERRNO(fcntl(0, F_DUPFD, 3), EMFILE);
    CHECK_ERRNO(fcntl(0, F_DUPFD, 20), EINVAL);
    CHECK_ERRNO(dup2(0, 20), EBADF);
    CHECK_ERRNO(pipe(ends), EMFILE);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
    close(19);
    CHECK_ERRNO(pipe(ends), EMFILE);  // one of two is not enough, and none is lost
    CHECK_EQ(dup(0), 19);
    CHECK_EQ(sysconf(_SC_OPEN_MAX), 20);
    CHECK_EQ(close_range(3, 19, 0), 0);
    EXPECT_END(child([] {
                 rlimit own;
                 CHECK_EQ(getrlimit(RLIMIT_NOFILE, &own), 0);
                 return static_cast<int>(own.rlim_cur);
               }),
               20);
  }
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  return 0;
}
