// SPDX-License-Identifier: Apache-2.0
// Moved while tee waits for data: both pipes have the bytes afterwards, once. A user would see a log of a pipeline that
// differs from what went through it.
#include "tests/programs/program.h"

int main() {
  int in[2], copy[2];
  CHECK_EQ(pipe(in), 0);
  CHECK_EQ(pipe(copy), 0);
  CHECK_ERRNO(tee(in[0], copy[1], 100, SPLICE_F_NONBLOCK), EAGAIN);
  for (int round = 0; round < 2; round++) {
    pid_t writer = after_go([&] { write_all(in[1], "0123456789", 10); });
    announce("blocked");
    CHECK_EQ(tee(in[0], copy[1], 4096, 0), 10);
    EXPECT_END(writer, 0);
    char first[20] = {}, second[20] = {};
    CHECK_EQ(read(in[0], first, sizeof first), 10);
    CHECK_EQ(read(copy[0], second, sizeof second), 10);
    CHECK(strcmp(first, "0123456789") == 0 && strcmp(second, first) == 0);
  }
  close(in[1]);
  CHECK_EQ(tee(in[0], copy[1], 100, 0), 0);
  CHECK_ERRNO(tee(in[0], in[0], 100, 0), EBADF);
  return 0;
}
