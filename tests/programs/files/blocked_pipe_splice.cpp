// SPDX-License-Identifier: Apache-2.0
// Moved while splice waits for data in a pipe, and while it waits for room in one: a user would see a copy that lacks
// bytes or has some twice, or an offset that is not where the copy stopped.
#include "tests/programs/program.h"

int main() {
  int data[2], full[2];
  CHECK_EQ(pipe(data), 0);
  int to = open("to", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(to >= 0);
  pid_t writer = after_go([&] { write_all(data[1], "from the pipe", 13); });
  announce("blocked");
  loff_t at = 1000;
  CHECK_EQ(splice(data[0], nullptr, to, &at, 4096, 0), 13);
  CHECK_EQ(at, 1013);
  EXPECT_END(writer, 0);
  char text[20] = {};
  CHECK_EQ(pread(to, text, sizeof text, 1000), 13);
  CHECK(strcmp(text, "from the pipe") == 0);

  CHECK_EQ(pipe2(full, O_NONBLOCK), 0);
  static char block[65'536], back[65'536];
  while (write(full[1], block, sizeof block) > 0) {
  }
  CHECK_EQ(fcntl(full[1], F_SETFL, 0), 0);
  CHECK_EQ(fcntl(full[0], F_SETFL, 0), 0);
  int filled = fcntl(full[1], F_GETPIPE_SZ);
  pid_t reader = after_go([&] {
    for (int left = filled; left > 0; left -= 4096) read_all(full[0], back, 4096);
    read_all(full[0], back, 13);
    CHECK(memcmp(back, "from the pipe", 13) == 0);
  });
  announce("blocked");
  at = 1000;
  CHECK_EQ(splice(to, &at, full[1], nullptr, 13, 0), 13);
  CHECK_EQ(at, 1013);
  EXPECT_END(reader, 0);
  CHECK_EQ(unlink("to"), 0);
  return 0;
}
