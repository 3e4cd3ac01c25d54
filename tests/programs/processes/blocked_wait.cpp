// SPDX-License-Identifier: Apache-2.0
// The parent is moved while it is blocked in wait4, which returns only with the child.
#include <sys/resource.h>

#include "tests/programs/program.h"

int main() {
  pid_t pid = after_go([] { _exit(44); });
  announce("blocked");
  int status = 0;
  rusage usage = {};
  CHECK_EQ(wait4(pid, &status, 0, &usage), pid);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 44);
  CHECK(usage.ru_maxrss > 0);
  return 0;
}
