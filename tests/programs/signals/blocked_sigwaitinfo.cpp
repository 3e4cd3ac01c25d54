// SPDX-License-Identifier: Apache-2.0
// Moved while threads wait in sigwaitinfo for signals of their own, and one until its time is over: each takes its
// signal with the sender's siginfo, in order; a signal that is handled meanwhile ends the wait with EINTR, a move does
// not.
#include "tests/programs/waits.h"

namespace {
volatile sig_atomic_t handled = 0;
std::atomic<int> taken;
pid_t sender;

sigset_t only(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return set;
}
void take_two(int number, int value) {
  const sigset_t set = only(number);
  for (int i = 0; i < 2; i++) {
    siginfo_t info = {};
    CHECK_EQ(sigwaitinfo(&set, &info), number);
    CHECK_EQ(info.si_code, SI_QUEUE);
    CHECK_EQ(info.si_pid, sender);
    CHECK_EQ(info.si_uid, getuid());
    CHECK_EQ(info.si_value.sival_int, value + i);
    taken++;
  }
}
}  // namespace

int main() {
  sigset_t set = only(SIGRTMIN + 1);
  sigaddset(&set, SIGRTMIN + 2);
  sigaddset(&set, SIGHUP);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  on_signal(
      SIGHUP, +[](int) { handled = handled + 1; }, SA_RESTART);  // makes no difference to sigwaitinfo
  const pid_t self = getpid();
  sender = after_go([self] {
    for (int i = 0; i < 2; i++)
      for (int which = 1; which <= 2; which++) {
        sigval value;
        value.sival_int = 10 * which + i;
        CHECK_EQ(sigqueue(self, SIGRTMIN + which, value), 0);
      }
    usleep(50'000);
    CHECK_EQ(kill(self, SIGHUP), 0);
  });
  pthread_t threads[] = {thread([] { take_two(SIGRTMIN + 1, 10); }), thread([] { take_two(SIGRTMIN + 2, 20); })};
  const sigset_t hangup = only(SIGHUP), winch = only(SIGWINCH);
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &hangup, nullptr), 0);  // this thread alone runs the handler
  announce("blocked");
  CHECK_ERRNO(sigwaitinfo(&winch, nullptr), EINTR);
  CHECK_EQ(handled, 1);
  for (pthread_t each : threads) join(each);
  CHECK_EQ(taken, 4);
  EXPECT_END(sender, 0);
  return 0;
}
