// SPDX-License-Identifier: Apache-2.0
// Moved while two threads sleep in pause and sigsuspend: ignored signals, and such as the mask holds back, end neither;
// the signal that does runs its handler in the thread that lets it through.
#include "tests/programs/waits.h"

namespace {
std::atomic<pid_t> ran_in[2];

void note(int number) { ran_in[number == SIGUSR2] = gettid(); }
}  // namespace

int main() {
  for (int number : {SIGUSR1, SIGUSR2})
    on_signal(
        number, +[](int which) { note(which); }, SA_RESTART);
  on_signal(
      SIGHUP, +[](int) { FAIL("SIGHUP is blocked everywhere"); });
  signal(SIGCONT, SIG_IGN);
  sigset_t blocked;
  sigemptyset(&blocked);
  for (int number : {SIGUSR1, SIGUSR2, SIGHUP}) sigaddset(&blocked, number);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &blocked, nullptr), 0);
  const pid_t self = getpid();
  const pid_t sender = after_go([self] {
    for (int number : {SIGHUP, SIGCONT, SIGURG, SIGUSR2}) CHECK_EQ(kill(self, number), 0);
    usleep(50'000);
    CHECK_EQ(kill(self, SIGUSR1), 0);
  });
  pthread_t suspended = thread([blocked] {
    sigset_t inside = blocked;
    sigdelset(&inside, SIGUSR2);
    CHECK_ERRNO(sigsuspend(&inside), EINTR);
    CHECK_EQ(ran_in[1], gettid());
  });
  sigset_t first;
  sigemptyset(&first);
  sigaddset(&first, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &first, nullptr), 0);
  announce("blocked");
  CHECK_ERRNO(pause(), EINTR);
  CHECK_EQ(ran_in[0], gettid());
  join(suspended);
  sigset_t pending;
  CHECK_EQ(sigpending(&pending), 0);
  CHECK_EQ(sigismember(&pending, SIGHUP), 1);
  CHECK_EQ(sigismember(&pending, SIGUSR1) + sigismember(&pending, SIGUSR2), 0);
  EXPECT_END(sender, 0);
  return 0;
}
