// SPDX-License-Identifier: Apache-2.0
// Real-time signals queued before a move come after it: the lowest number first, each number in the order of sending,
// with its value. If it were wrong, a program that counts on the queue would see its messages lost or mixed.
#include "tests/programs/program.h"

int main() {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < 3; i++) sigaddset(&set, SIGRTMIN + i);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, nullptr), 0);
  for (int value = 0; value < 4; value++)
    for (int i = 2; i >= 0; i--) CHECK_EQ(sigqueue(getpid(), SIGRTMIN + i, {.sival_int = 100 * i + value}), 0);
  ready_and_wait();
  for (int i = 0; i < 3; i++)
    for (int value = 0; value < 4; value++) {
      siginfo_t info = {};
      CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + i);
      CHECK_EQ(info.si_code, SI_QUEUE);
      CHECK_EQ(info.si_value.sival_int, 100 * i + value);
      CHECK_EQ(info.si_pid, getpid());
    }
  struct timespec none = {};
  CHECK_ERRNO(sigtimedwait(&set, nullptr, &none), EAGAIN);
}
