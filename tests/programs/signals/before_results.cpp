// SPDX-License-Identifier: Apache-2.0
// A signal that came before a call ended is handled before the program sees the result: SIGCHLD before waitpid returns,
// the signal of somebody who then wrote to our pipe before read returns. Shells and event loops count on it.
#include "tests/programs/program.h"

namespace {

volatile sig_atomic_t deaths = 0, hints = 0;

// Answers each byte with a signal to its parent and then the byte.
int hinter(int from, int to) {
  char byte;
  while (read(from, &byte, 1) == 1) {
    CHECK_EQ(kill(getppid(), SIGUSR1), 0);
    write_all(to, &byte, 1);
  }
  return 0;
}

}  // namespace

int main() {
  on_signal(
      SIGCHLD, +[](int) { deaths = deaths + 1; }, SA_RESTART);
  on_signal(
      SIGUSR1, +[](int) { hints = hints + 1; }, SA_RESTART);
  int there[2], back[2];
  CHECK_EQ(pipe(there), 0);
  CHECK_EQ(pipe(back), 0);
  const pid_t other = child([&] {
    close(there[1]);
    close(back[0]);
    return hinter(there[0], back[1]);
  });
  int born = 0, asked = 0;
  auto once = [&] {
    const pid_t brief = child([] { return 3; });
    ++born;
    EXPECT_END(brief, 3);
    CHECK_EQ(deaths, born);
    char byte = 'x';
    write_all(there[1], &byte, 1);
    ++asked;
    CHECK_EQ(read(back[0], &byte, 1), 1);
    CHECK_EQ(hints, asked);
  };
  for (int round = 0; round < 3; round++) {
    ready_and_wait();
    for (int i = 0; i < 60; i++) once();
  }
  close(there[1]);
  EXPECT_END(other, 0);
  CHECK_EQ(deaths, born + 1);
  return 0;
}
