// SPDX-License-Identifier: Apache-2.0
// Moved while it asks its children again and again with WNOHANG: 0 as long as they live, each end once, and not before
// it has come. make and many build tools do nothing else.
#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t children[5];
  for (int i = 0; i < 5; i++)
    children[i] = child([&] {
      char byte;
      read_all(ends[0], &byte, 1);
      return 40 + i;
    });
  {
    Go go;
    while (!go.done()) {
      int status = 0;
      CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
      CHECK_EQ(waitpid(children[1], &status, WNOHANG | WUNTRACED | WCONTINUED), 0);
      siginfo_t info = {};
      info.si_pid = 1;
      CHECK_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), 0);
      CHECK_EQ(info.si_pid, 0);
      usleep(2000);
    }
  }
  write_all(ends[1], "xxxxx", 5);
  int left = 5, seen = 0;
  const double end = seconds() + 20;
  while (left > 0 && seconds() < end) {
    int status = 0;
    const pid_t got = waitpid(-1, &status, WNOHANG);
    CHECK(got >= 0);
    if (got == 0) {
      usleep(500);
      continue;
    }
    for (int i = 0; i < 5; i++)
      if (children[i] == got) {
        CHECK_EQ(seen & (1 << i), 0);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 40 + i);
        seen |= 1 << i;
      }
    left--;
  }
  CHECK_EQ(seen, 31);
  CHECK_ERRNO(waitpid(-1, nullptr, WNOHANG), ECHILD);
  return 0;
}
