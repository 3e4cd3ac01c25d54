// SPDX-License-Identifier: Apache-2.0
// Moved while threads wait in sigtimedwait: in vain, which ends when the time is over and not later by what was waited
// before the move; and with success, the time-out being far away.
#include "tests/programs/waits.h"

namespace {
sigset_t only(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return set;
}
void wait_in_vain(long ms) {
  const sigset_t set = only(SIGUSR2);
  const timespec limit = {ms / 1000, ms % 1000 * 1'000'000};
  const double start = seconds();
  CHECK_ERRNO(sigtimedwait(&set, nullptr, &limit), EAGAIN);
  expect_waited(start, ms, "sigtimedwait");
}
}  // namespace

int main() {
  sigset_t set = only(SIGUSR2);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  const pid_t self = getpid();
  const pid_t sender = after_go([self] { CHECK_EQ(kill(self, SIGUSR1), 0); });
  pthread_t patient = thread([sender] {
    const sigset_t wanted = only(SIGUSR1);
    const timespec limit = {100, 0};
    siginfo_t info = {};
    CHECK_EQ(sigtimedwait(&wanted, &info, &limit), SIGUSR1);
    CHECK_EQ(info.si_pid, sender);
  });
  pthread_t other = thread([] { wait_in_vain(kWaitMs + 50); });
  pthread_t announcer = announce_later();
  wait_in_vain(kWaitMs);
  for (pthread_t each : {patient, other, announcer}) join(each);
  EXPECT_END(sender, 0);
  return 0;
}
