// SPDX-License-Identifier: Apache-2.0
// Children forked before, between and after moves end with their codes, and only once.
#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t before = child([&] {
    char byte;
    close(ends[1]);
    return read(ends[0], &byte, 1) == 0 ? 11 : 1;
  });
  pid_t zombie = child([] { return 12; });
  ready_and_wait();
  close(ends[1]);
  EXPECT_END(before, 11);
  EXPECT_END(zombie, 12);
  for (int i = 0; i < 20; i++) {
    int secret = i * 3;
    pid_t pid = child([&] {
      CHECK(getppid() > 1);
      secret++;  // the child's own copy
      return secret == i * 3 + 1 ? i : 255;
    });
    CHECK(pid > 0 && pid != getpid());
    EXPECT_END(pid, i);
    CHECK_EQ(secret, i * 3);
  }
  CHECK_ERRNO(wait(nullptr), ECHILD);
  ready_and_wait();
  pid_t last = child([] { return child([] { return 0; }) > 0 ? 200 : 0; });
  EXPECT_END(last, 200);
  CHECK_ERRNO(wait(nullptr), ECHILD);
  return 0;
}
