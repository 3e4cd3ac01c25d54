// SPDX-License-Identifier: Apache-2.0
// The descriptor table is the program's own: lowest numbers first, loops that close everything, limits, dup3, flags,
// and /proc/self/fd; nothing of omig's own descriptors may get in the way or be hurt.
#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "tests/programs/program.h"

namespace {
int count_open() {
  int count = 0;
  for (int fd = 0; fd < 1000; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}
}  // namespace

int main() {
  for (int fd = 3; fd < 1000; fd++) close(fd);
  CHECK_EQ(open("/dev/null", O_RDONLY), 3);
  CHECK_EQ(dup2(3, 200), 200);
  ready_and_wait();
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(count_open(), 5);
    CHECK_EQ(open("/dev/null", O_RDWR | O_CLOEXEC), 4);
    CHECK_EQ(fcntl(4, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(4, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_EQ(dup3(4, 900, O_CLOEXEC), 900);
    CHECK_ERRNO(dup3(4, 4, 0), EINVAL);
    CHECK_EQ(fcntl(4, F_DUPFD, 100), 100);
    CHECK_EQ(close_range(100, 150, 0), 0);
    CHECK_ERRNO(fcntl(100, F_GETFD), EBADF);
    CHECK_EQ(close_range(4, 199, 0), 0);
    // As daemons do. Everything must still work afterwards, moves included.
    CHECK_EQ(close_range(201, ~0U, 0), 0);
    CHECK_ERRNO(close(4), EBADF);
    rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlimit small = {300, limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
    CHECK_ERRNO(dup2(3, 300), EBADF);
    CHECK_EQ(dup2(3, 299), 299);
    CHECK_EQ(close(299), 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ready_and_wait();
  }
  DIR* directory = opendir("/proc/self/fd");
  CHECK(directory);
  int low = 0;
  for (dirent* entry; (entry = readdir(directory));)
    if (entry->d_name[0] != '.' && atoi(entry->d_name) < 1000 && atoi(entry->d_name) != dirfd(directory)) low++;
  CHECK_EQ(low, 5);
  closedir(directory);
  int bytes = -1, ends[2];
  CHECK_EQ(pipe(ends), 0);
  write_all(ends[1], "12345", 5);
  CHECK_EQ(ioctl(ends[0], FIONREAD, &bytes), 0);
  CHECK_EQ(bytes, 5);
  int yes = 1;
  CHECK_EQ(ioctl(ends[0], FIONBIO, &yes), 0);
  CHECK(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
  CHECK_ERRNO(ioctl(ends[0], TIOCGWINSZ, &bytes), ENOTTY);
  return 0;
}
