// SPDX-License-Identifier: Apache-2.0
// Signals that are blocked and pending travel with the process, thread-directed ones with their thread; real-time ones
// keep count, order and values.
#include "tests/programs/program.h"

namespace {
struct Taken {
  int number, value, code;
};
Taken taken[100];
volatile sig_atomic_t count = 0;

void take(int number, siginfo_t* info, void*) {
  int at = count;
  taken[at] = {number, info->si_value.sival_int, info->si_code};
  count = at + 1;
}
}  // namespace

int main() {
  int low = SIGRTMIN + 1, high = SIGRTMIN + 5;
  for (int number : {SIGUSR1, SIGUSR2, low, high}) on_signal(number, take);
  sigset_t all, pending;
  sigfillset(&all);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &all, nullptr), 0);
  sigval value;
  for (int i = 0; i < 5; i++) {
    value.sival_int = 100 + i;
    CHECK_EQ(sigqueue(getpid(), high, value), 0);
    value.sival_int = 200 + i;
    CHECK_EQ(sigqueue(getpid(), low, value), 0);
  }
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);  // merges with the first
  ready_and_wait();
  CHECK_EQ(raise(SIGUSR2), 0);  // to this thread, while away
  value.sival_int = 205;
  CHECK_EQ(sigqueue(getpid(), low, value), 0);
  CHECK_EQ(sigpending(&pending), 0);
  for (int number : {SIGUSR1, SIGUSR2, low, high}) CHECK_EQ(sigismember(&pending, number), 1);
  CHECK_EQ(sigismember(&pending, SIGHUP), 0);
  ready_and_wait();
  CHECK_EQ(count, 0);
  // One at a time, in the kernel's own order: lowest number first, same number in the order of sending.
  siginfo_t info;
  sigset_t only;
  for (int i = 0; i < 6; i++) {
    sigemptyset(&only);
    sigaddset(&only, low);
    CHECK_EQ(sigwaitinfo(&only, &info), low);
    CHECK_EQ(info.si_value.sival_int, 200 + i);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(info.si_code, SI_QUEUE);
  }
  CHECK_EQ(sigprocmask(SIG_UNBLOCK, &all, nullptr), 0);
  CHECK_EQ(count, 7);
  int users = 0, highs = 0;
  for (int i = 0; i < 7; i++) {
    if (taken[i].number == SIGUSR1) CHECK_EQ(taken[i].code, SI_USER);
    if (taken[i].number == SIGUSR2) CHECK_EQ(taken[i].code, SI_TKILL);
    users += taken[i].number == SIGUSR1 || taken[i].number == SIGUSR2;
    highs += taken[i].number == high;
  }
  CHECK(users == 2 && highs == 5);
  return 0;
}
