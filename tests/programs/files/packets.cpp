// SPDX-License-Identifier: Apache-2.0
// A pipe in packet mode (O_DIRECT) gives each write back by one read, and what does not fit is cut off. A user would
// see messages of an event log run together.
#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe2(ends, O_DIRECT | O_CLOEXEC), 0);
  for (int round = 0; round < 2; round++) {
    write_all(ends[1], "first", 5);
    write_all(ends[1], "second one", 10);
    ready_and_wait();
    write_all(ends[1], "third", 5);
    CHECK(fcntl(ends[1], F_GETFL) & O_DIRECT);
    char text[100] = {};
    CHECK_EQ(read(ends[0], text, sizeof text), 5);
    CHECK(strcmp(text, "first") == 0);
    CHECK_EQ(read(ends[0], text, 6), 6);
    CHECK(memcmp(text, "second", 6) == 0);
    ready_and_wait();
    CHECK_EQ(read(ends[0], text, sizeof text), 5);
    CHECK(memcmp(text, "third", 5) == 0);
  }
  CHECK_EQ(fcntl(ends[1], F_SETFL, 0), 0);  // an ordinary pipe from here on
  write_all(ends[1], "ab", 2);
  write_all(ends[1], "cd", 2);
  char text[100];
  CHECK_EQ(read(ends[0], text, sizeof text), 4);
  CHECK(memcmp(text, "abcd", 4) == 0);
  return 0;
}
