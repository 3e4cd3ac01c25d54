// SPDX-License-Identifier: Apache-2.0
// prctl's switches of a process: each keeps its value over moves, can be set away, and refuses what it should. A user
// would see a daemon that dumps core where it must not, or timers that are lax.
#include <linux/prctl.h>
#include <sys/prctl.h>

#include "tests/programs/program.h"

int main() {
  CHECK_EQ(prctl(PR_SET_TIMERSLACK, 70'000), 0);
  CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
  CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 70'000 + round);
    CHECK_EQ(prctl(PR_SET_TIMERSLACK, 70'001 + round), 0);
    CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1 - round);
    CHECK_EQ(prctl(PR_SET_KEEPCAPS, round), 0);
    int reaper = -1;
    CHECK_EQ(prctl(PR_GET_CHILD_SUBREAPER, &reaper), 0);
    CHECK_EQ(reaper, 1 - round);
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, round), 0);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), round);
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);  // there is no way back
    CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
    CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 1000), EINVAL);
    CHECK_ERRNO(prctl(12'345), EINVAL);
    CHECK_ERRNO(prctl(PR_CAPBSET_READ, 1000), EINVAL);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    EXPECT_END(child([&] {
                 CHECK_EQ(prctl(PR_GET_TIMERSLACK), 70'001 + round);  // inherited
                 CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
                 CHECK_EQ(prctl(PR_GET_CHILD_SUBREAPER, &reaper), 0);
                 CHECK_EQ(reaper, 0);  // this is not
                 return 0;
               }),
               0);
  }
  char status[8192];
  slurp("/proc/self/status", status);
  CHECK(strstr(status, "\nNoNewPrivs:\t1\n"));
  return 0;
}
