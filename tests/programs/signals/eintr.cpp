// SPDX-License-Identifier: Apache-2.0
// A handler without SA_RESTART makes a blocked read end with EINTR exactly once, and no move ever does.
#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t hits = 0;
int acknowledge[2];
}  // namespace

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(pipe(acknowledge), 0);
  on_signal(
      SIGUSR1,
      +[](int) {
        hits = hits + 1;
        (void)!write(acknowledge[1], "a", 1);
      },
      0);
  pid_t parent = getpid();
  pid_t helper = after_go([&] {
    for (int i = 0; i < 5; i++) {
      char byte;
      CHECK_EQ(kill(parent, SIGUSR1), 0);
      read_all(acknowledge[0], &byte, 1);
    }
    write_all(ends[1], "x", 1);
  });
  announce("blocked");
  char byte;
  int interrupted = 0;
  ssize_t got;
  while ((got = read(ends[0], &byte, 1)) < 0) {
    CHECK_EQ(errno, EINTR);
    interrupted++;
  }
  CHECK_EQ(got, 1);
  CHECK_EQ(hits, 5);
  // A signal may come between two reads: at most one EINTR for each, and the first one found us blocked.
  CHECK(interrupted >= 1 && interrupted <= 5);
  EXPECT_END(helper, 0);
  return 0;
}
