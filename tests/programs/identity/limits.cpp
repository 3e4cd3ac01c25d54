// SPDX-License-Identifier: Apache-2.0
// Resource limits, priority, affinity, umask and prctl settings are kept and can be changed while away.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  limit.rlim_cur = 1'000'000;
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  CHECK_EQ(setpriority(PRIO_PROCESS, 0, 3), 0);
  CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGUSR1), 0);
  cpu_set_t affinity, now;
  CHECK_EQ(sched_getaffinity(0, sizeof affinity, &affinity), 0);
  umask(07);
  signal(SIGXFSZ, SIG_IGN);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_EQ(limit.rlim_cur, 1'000'000 - 1000 * round);
    int fd = open("limited", O_RDWR | O_CREAT | O_TRUNC, 0666);
    CHECK_ERRNO(pwrite(fd, "x", 1, 1'000'000), EFBIG);
    struct stat status;
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(status.st_mode & 0777, 0660);
    close(fd);
    CHECK_EQ(unlink("limited"), 0);
    limit.rlim_cur -= 1000;
    CHECK_EQ(prlimit(0, RLIMIT_FSIZE, &limit, nullptr), 0);
    errno = 0;
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3 + round);
    CHECK_EQ(nice(1), 4 + round);
    int number = 0;
    CHECK_EQ(prctl(PR_GET_PDEATHSIG, &number), 0);
    CHECK_EQ(number, SIGUSR1);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    CHECK_EQ(sched_getaffinity(0, sizeof now, &now), 0);
    CHECK(CPU_EQUAL(&affinity, &now));
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK(sched_getcpu() >= 0);
    CHECK_ERRNO(setrlimit(static_cast<__rlimit_resource>(99), &limit), EINVAL);
  }
  return 0;
}
