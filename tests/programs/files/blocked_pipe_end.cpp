// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in reads of a pipe: readv spreads what comes over its pieces, and the end of the last writer ends
// the read with 0. A user would see `make | less` wait for ever.
#include <sys/uio.h>

#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t writer = after_go([&] { write_all(ends[1], "abcdefghij", 10); });
  char first[4], second[1], third[100];
  iovec pieces[3] = {{first, 4}, {second, 1}, {third, 100}};
  announce("blocked");
  CHECK_EQ(readv(ends[0], pieces, 3), 10);
  CHECK(memcmp(first, "abcd", 4) == 0 && second[0] == 'e' && memcmp(third, "fghij", 5) == 0);
  EXPECT_END(writer, 0);
  writer = after_go([] {});
  close(ends[1]);
  announce("blocked");
  CHECK_EQ(read(ends[0], third, sizeof third), 0);
  EXPECT_END(writer, 0);
  CHECK_EQ(read(ends[0], third, sizeof third), 0);
  return 0;
}
