// SPDX-License-Identifier: Apache-2.0
// Its parent changes the niceness, CPUs, I/O priority and process group of a program that is moved while blocked: it
// finds them so. A user would see `renice`, `taskset` or `ionice` without effect on a program that is away.
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace {
constexpr int kBestEffort7 = 2 << 13 | 7;
}

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  cpu_set_t all, one;
  CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &all)) cpu++;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  pid_t pid = child([&] {
    announce("blocked");
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    cpu_set_t now;
    CHECK_EQ(sched_getaffinity(0, sizeof now, &now), 0);
    CHECK(CPU_EQUAL(&now, &one));
    errno = 0;
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 6);
    CHECK_EQ(syscall(SYS_ioprio_get, 1, 0), kBestEffort7);
    CHECK_EQ(getpgrp(), getpid());
    return 0;
  });
  wait_for_go();
  CHECK_EQ(sched_setaffinity(pid, sizeof one, &one), 0);
  CHECK_EQ(setpriority(PRIO_PROCESS, static_cast<id_t>(pid), 6), 0);
  CHECK_EQ(syscall(SYS_ioprio_set, 1, pid, kBestEffort7), 0);
  CHECK_EQ(setpgid(pid, pid), 0);
  CHECK_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(pid)), 6);
  CHECK_EQ(getpgid(pid), pid);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  EXPECT_END(pid, 0);
  return 0;
}
