// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in a read of an empty pipe: no EINTR, no lost byte, the offset of nothing changed.
#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t helper = after_go([&] { write_all(ends[1], "hello", 5); });
  close(ends[1]);
  char text[100] = {};
  announce("blocked");
  CHECK_EQ(read(ends[0], text, sizeof text), 5);
  CHECK(strcmp(text, "hello") == 0);
  CHECK_EQ(read(ends[0], text, sizeof text), 0);
  EXPECT_END(helper, 0);
  return 0;
}
