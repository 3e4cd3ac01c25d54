// SPDX-License-Identifier: Apache-2.0
// A parent reads and sets the limits of its child while the child is moved (prlimit). A user would see `prlimit --pid`
// without effect on a program that is away.
#include <sys/resource.h>

#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t pid = child([&] {
    close(ends[1]);
    rlimit limit = {30, 60};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    announce("blocked", 1);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);  // the parent has set it by now
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK(limit.rlim_cur == 10 && limit.rlim_max == 50);
    while (dup(0) >= 0) {
    }
    CHECK_EQ(errno, EMFILE);
    CHECK_ERRNO(dup2(0, 10), EBADF);
    CHECK_EQ(getrlimit(RLIMIT_CORE, &limit), 0);
    CHECK_EQ(limit.rlim_max, 0);
    return 3;
  });
  wait_for_go();
  rlimit before = {}, wanted = {10, 50}, none = {0, 0};
  if (!getenv("OMIG_TEST_FIFOS")) usleep(100'000);
  CHECK_EQ(prlimit(pid, RLIMIT_NOFILE, &wanted, &before), 0);
  CHECK(before.rlim_cur == 30 && before.rlim_max == 60);
  CHECK_EQ(prlimit(pid, RLIMIT_NOFILE, nullptr, &before), 0);
  CHECK(before.rlim_cur == 10 && before.rlim_max == 50);
  CHECK_EQ(prlimit(pid, RLIMIT_CORE, &none, nullptr), 0);
  wanted = {51, 50};
  CHECK_ERRNO(prlimit(pid, RLIMIT_NOFILE, &wanted, nullptr), EINVAL);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  EXPECT_END(pid, 3);
  CHECK_ERRNO(prlimit(pid, RLIMIT_NOFILE, nullptr, &before), ESRCH);
  return 0;
}
