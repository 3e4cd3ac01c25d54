// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in poll without a time-out: it must not return before the data is there.
#include <poll.h>

#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pollfd polled[2] = {{ends[0], POLLIN, 0}, {-1, POLLIN, 0}};
  pid_t helper = after_go([&] { write_all(ends[1], "x", 1); });
  announce("blocked");
  CHECK_EQ(poll(polled, 2, -1), 1);
  CHECK_EQ(polled[0].revents, POLLIN);
  CHECK_EQ(polled[1].revents, 0);
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_END(helper, 0);
  return 0;
}
