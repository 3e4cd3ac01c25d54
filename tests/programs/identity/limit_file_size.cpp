// SPDX-License-Identifier: Apache-2.0
// RLIMIT_FSIZE: a write beyond it is cut, the next one is SIGXFSZ and EFBIG. A user would see a runaway log fill the
// disk, or a program killed below its limit.
#include <sys/resource.h>

#include "tests/programs/program.h"

namespace {
volatile int signals;
}

int main() {
  on_signal(SIGXFSZ, [](int) { signals = signals + 1; });
  rlimit limit = {10'000, RLIM_INFINITY};
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  static char bytes[20'000];
  int fd = open("limited", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(write(fd, bytes, 6000), 6000);
    ready_and_wait();
    CHECK_EQ(write(fd, bytes, sizeof bytes), 4000);
    CHECK_EQ(signals, round * 2);
    CHECK_ERRNO(write(fd, bytes, 1), EFBIG);
    CHECK_EQ(signals, round * 2 + 1);
    CHECK_ERRNO(ftruncate(fd, 10'001), EFBIG);
    CHECK_EQ(signals, round * 2 + 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10'000);
    int ends[2];  // pipes have no such limit
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(write(ends[1], bytes, sizeof bytes), sizeof bytes);
    close(ends[0]);
    close(ends[1]);
  }
  pid_t pid = child([&] {
    signal(SIGXFSZ, SIG_DFL);
    rlimit no_core = {0, 0};
    CHECK_EQ(setrlimit(RLIMIT_CORE, &no_core), 0);
    return write(fd, bytes, 1) == 1;
  });
  EXPECT_END(pid, -SIGXFSZ);
  CHECK_EQ(unlink("limited"), 0);
  return 0;
}
