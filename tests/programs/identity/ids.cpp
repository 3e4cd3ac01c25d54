// SPDX-License-Identifier: Apache-2.0
// Who the process is does not change: pid, parent, users, groups, session, and what /proc says of them.
#include <sys/fsuid.h>

#include "tests/programs/program.h"

namespace {
struct Ids {
  long values[16];
  gid_t groups[64];
  int group_count;
};
Ids ids() {
  Ids now = {};
  long values[16] = {getpid(),  getppid(), getuid(),  geteuid(), getgid(),
                     getegid(), getpgrp(), getsid(0), gettid(),  getpgid(getppid()) > 0};
  uid_t u[3];
  gid_t g[3];
  CHECK_EQ(getresuid(u, u + 1, u + 2), 0);
  CHECK_EQ(getresgid(g, g + 1, g + 2), 0);
  for (int i = 0; i < 3; i++) values[10 + i] = u[i], values[13 + i] = g[i];
  memcpy(now.values, values, sizeof values);
  now.group_count = getgroups(64, now.groups);
  CHECK(now.group_count >= 0);
  return now;
}
}  // namespace

int main() {
  Ids before = ids();
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    Ids after = ids();
    for (int i = 0; i < 16; i++)
      if (before.values[i] != after.values[i])
        FAIL("identity %d was %ld, is %ld", i, before.values[i], after.values[i]);
    CHECK(memcmp(before.groups, after.groups, sizeof before.groups) == 0 && before.group_count == after.group_count);
    char link[40] = {}, want[40], status[4096];
    CHECK(readlink("/proc/self", link, sizeof link - 1) > 0);
    snprintf(want, sizeof want, "%d", getpid());
    CHECK(strcmp(link, want) == 0);
    slurp("/proc/self/status", status);
    snprintf(want, sizeof want, "\nPid:\t%d\nPPid:\t%d\n", getpid(), getppid());
    CHECK(strstr(status, want));
    CHECK_EQ(kill(getpid(), 0), 0);
    EXPECT_END(child([&] { return getppid() == before.values[0] ? 0 : 1; }), 0);
  }
  return 0;
}
