// SPDX-License-Identifier: Apache-2.0
// Niceness of a process, a group and a user, I/O priorities, and what an ordinary user may not do with them. A user
// would see a background job that runs in the foreground's way after a move.
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace {
constexpr int kProcess = 1, kIdle = 3 << 13, kBestEffort3 = 2 << 13 | 3;
}

int main() {
  CHECK(getpgrp() == getpid() || setpgid(0, 0) == 0);
  CHECK_EQ(setpriority(PRIO_PGRP, 0, 2), 0);
  CHECK_EQ(syscall(SYS_ioprio_set, kProcess, 0, kBestEffort3), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    errno = 0;
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 2 + round);
    CHECK_EQ(getpriority(PRIO_PGRP, 0), 2 + round);
    CHECK_EQ(syscall(SYS_ioprio_get, kProcess, 0), kBestEffort3);
    EXPECT_END(child([&] {
                 CHECK_EQ(getpriority(PRIO_PROCESS, 0), 2 + round);
                 CHECK_EQ(syscall(SYS_ioprio_get, kProcess, 0), kBestEffort3);
                 CHECK_EQ(syscall(SYS_ioprio_set, kProcess, 0, kIdle), 0);
                 CHECK_EQ(setpriority(PRIO_PROCESS, 0, 100), 0);
                 CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
                 CHECK_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(getppid())), 2 + round);
                 CHECK(geteuid() != 0 || setresuid(4700, 4700, 4700) == 0);
                 CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 18), EACCES);
                 CHECK(nice(-1) == -1 && errno == EPERM);
                 CHECK_ERRNO(syscall(SYS_ioprio_set, kProcess, 0, 1 << 13), EPERM);  // real-time I/O
                 return 0;
               }),
               0);
    char stat[1000];
    slurp("/proc/self/stat", stat);
    long priority = 0, niceness = 0;
    CHECK(sscanf(strrchr(stat, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %ld %ld",
                 &priority, &niceness) == 2);
    CHECK(niceness == 2 + round && priority == 22 + round);
    CHECK_EQ(setpriority(PRIO_PGRP, 0, 3 + round), 0);
    CHECK_ERRNO(getpriority(static_cast<__priority_which>(7), 0), EINVAL);
    CHECK_ERRNO(setpriority(PRIO_PROCESS, 1 << 22, 5), ESRCH);
  }
  return 0;
}
