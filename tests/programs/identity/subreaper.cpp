// SPDX-License-Identifier: Apache-2.0
// PR_SET_CHILD_SUBREAPER: grandchildren whose parent has ended come to the subreaper, wherever it is. A user would see
// a service manager lose the daemons that it has started.
#include <sys/prctl.h>

#include "tests/programs/program.h"

int main() {
  CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  for (int round = 0; round < 2; round++) {
    int numbers[2], hold[2];
    CHECK_EQ(pipe(numbers), 0);
    CHECK_EQ(pipe(hold), 0);
    pid_t reaper = getpid();
    pid_t parent = child([&] {
      pid_t daemon = child([&] {
        close(hold[1]);
        char byte;
        CHECK_EQ(read(hold[0], &byte, 1), 0);
        return getppid() == reaper ? 40 : 41;
      });
      write_all(numbers[1], &daemon, sizeof daemon);
      return 5;
    });
    pid_t daemon;
    read_all(numbers[0], &daemon, sizeof daemon);
    EXPECT_END(parent, 5);
    ready_and_wait();
    CHECK_EQ(waitpid(daemon, nullptr, WNOHANG), 0);
    for (int* ends : {numbers, hold}) close(ends[0]), close(ends[1]);
    EXPECT_END(daemon, 40);
    CHECK_ERRNO(waitpid(-1, nullptr, 0), ECHILD);
  }
  return 0;
}
