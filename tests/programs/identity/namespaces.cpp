// SPDX-License-Identifier: Apache-2.0
// The namespaces that a program sees itself in are home's, the same before and after moves and as its children's. A
// user would see a tool (lsns, podman) take a program that is away for one in a container.
#include "tests/programs/program.h"

namespace {
constexpr const char* kKinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
void read_links(char (&links)[7][60]) {
  for (int i = 0; i < 7; i++) {
    char path[60];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kKinds[i]);
    ssize_t length = readlink(path, links[i], 59);
    CHECK(length > 0);
    links[i][length] = 0;
    CHECK(strncmp(links[i], kKinds[i], strlen(kKinds[i])) == 0);
  }
}
}  // namespace

int main() {
  char before[7][60] = {}, after[7][60] = {};
  static char groups[4096], now[4096];
  read_links(before);
  slurp("/proc/self/cgroup", groups);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    read_links(after);
    for (int i = 0; i < 7; i++)
      if (strcmp(before[i], after[i]) != 0) FAIL("was in %s, is in %s", before[i], after[i]);
    slurp("/proc/self/cgroup", now);
    CHECK(strcmp(groups, now) == 0);
    char command[200];  // a program at home sees us in the same one
    snprintf(command, sizeof command, "[ $(readlink /proc/%d/ns/pid) = '%s' ] && exit 4", getpid(), before[4]);
    CHECK_EQ(WEXITSTATUS(system(command)), 4);
  }
  return 0;
}
