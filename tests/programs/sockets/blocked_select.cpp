// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in select without a time-out: it must not return before the data is there.
#include <sys/select.h>

#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  fd_set in;
  FD_ZERO(&in);
  FD_SET(ends[0], &in);
  pid_t helper = after_go([&] { write_all(ends[1], "x", 1); });
  announce("blocked");
  CHECK_EQ(select(ends[0] + 1, &in, nullptr, nullptr, nullptr), 1);
  CHECK(FD_ISSET(ends[0], &in));
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_END(helper, 0);
  return 0;
}
