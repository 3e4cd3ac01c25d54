// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in a write to a full pipe whose reader then goes away: SIGPIPE comes once and the write ends with
// EPIPE. A user would see `yes | head` run on for ever.
#include "tests/programs/program.h"

namespace {
volatile int broken;
}

int main() {
  on_signal(
      SIGPIPE, [](int) { broken = broken + 1; }, SA_RESTART);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  static char block[4096];
  pid_t reader = after_go([] {});  // the last reader ends
  close(ends[0]);
  CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
  int blocks = 0;
  while (write(ends[1], block, sizeof block) == 4096) blocks++;
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(blocks * 4096, fcntl(ends[1], F_GETPIPE_SZ));
  CHECK_EQ(fcntl(ends[1], F_SETFL, 0), 0);
  announce("blocked");
  CHECK_ERRNO(write(ends[1], block, 1), EPIPE);
  CHECK_EQ(broken, 1);
  EXPECT_END(reader, 0);
  CHECK_ERRNO(write(ends[1], block, 1), EPIPE);
  CHECK_EQ(broken, 2);
  return 0;
}
