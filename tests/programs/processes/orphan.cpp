// SPDX-License-Identifier: Apache-2.0
// A daemon in the making: double fork, new session; the orphan gets its new parent and goes on after its parent's end.
#include <sys/prctl.h>

#include "tests/programs/program.h"

int main() {
  CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  int report[2], leave[2];
  CHECK_EQ(pipe(report), 0);
  CHECK_EQ(pipe(leave), 0);
  pid_t reaper = getpid();
  pid_t middle = child([&] {
    pid_t self = getpid();
    CHECK_EQ(setsid(), self);
    child([&] {
      ready_and_wait(2);  // moved together with its grandparent, which later is its parent
      CHECK_EQ(getppid(), self);
      CHECK_EQ(getsid(0), self);
      write_all(leave[1], "now", 3);
      double deadline = seconds() + 10;
      while (getppid() == self && seconds() < deadline) usleep(1000);
      CHECK_EQ(getppid(), reaper);
      ready_and_wait();
      CHECK_EQ(getppid(), reaper);
      CHECK_EQ(getsid(0), self);
      pid_t daemon = getpid();
      write_all(report[1], &daemon, sizeof daemon);
      return 31;
    });
    char bytes[3];
    read_all(leave[0], bytes, 3);
    return 0;
  });
  close(report[1]);
  ready_and_wait(2);
  EXPECT_END(middle, 0);
  pid_t daemon;
  read_all(report[0], &daemon, sizeof daemon);
  EXPECT_END(daemon, 31);
  CHECK_ERRNO(wait(nullptr), ECHILD);
  return 0;
}
