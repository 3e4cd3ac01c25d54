// SPDX-License-Identifier: Apache-2.0
// Moved inside ppoll, pselect and sigsuspend with masks of their own: what the mask holds back does not end the wait,
// what it lets through does, once; afterwards the old mask is back. An event loop that is told by signals relies on it.
#include <poll.h>
#include <sys/select.h>

#include "tests/programs/waits.h"

namespace {
volatile sig_atomic_t hits[3];

sigset_t all_but(int number) {
  sigset_t set;
  sigemptyset(&set);
  for (int each : {SIGUSR1, SIGUSR2, SIGHUP})
    if (each != number) sigaddset(&set, each);
  return set;
}
void expect_all_blocked() {
  sigset_t now;
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, nullptr, &now), 0);
  for (int each : {SIGUSR1, SIGUSR2, SIGHUP}) CHECK_EQ(sigismember(&now, each), 1);
}
}  // namespace

int main() {
  on_signal(
      SIGUSR1, +[](int) { hits[0] = hits[0] + 1; }, SA_RESTART);
  on_signal(
      SIGUSR2, +[](int) { hits[1] = hits[1] + 1; });
  on_signal(
      SIGHUP, +[](int) { hits[2] = hits[2] + 1; });
  const sigset_t everything = all_but(0);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &everything, nullptr), 0);
  const pid_t self = getpid();
  const pid_t sender = after_go([self] {
    for (int number : {SIGUSR1, SIGUSR2, SIGHUP}) {
      CHECK_EQ(kill(self, number), 0);
      usleep(50'000);
    }
  });
  pthread_t selecting = thread([] {
    const sigset_t mask = all_but(SIGUSR2);
    const timespec limit = {100, 0};
    CHECK_ERRNO(pselect(0, nullptr, nullptr, nullptr, &limit, &mask), EINTR);
    CHECK_EQ(hits[1], 1);
    expect_all_blocked();
  });
  pthread_t suspended = thread([] {
    const sigset_t mask = all_but(SIGHUP);
    CHECK_ERRNO(sigsuspend(&mask), EINTR);
    CHECK_EQ(hits[2], 1);
    expect_all_blocked();
  });
  pthread_t undisturbed = thread([] {
    const sigset_t mask = all_but(0);
    const double start = seconds();
    const timespec limit = {kWaitMs / 1000, kWaitMs % 1000 * 1'000'000};
    CHECK_EQ(ppoll(nullptr, 0, &limit, &mask), 0);
    expect_waited(start, kWaitMs, "ppoll");
  });
  const sigset_t mask = all_but(SIGUSR1);
  pthread_t announcer = announce_later();
  CHECK_ERRNO(ppoll(nullptr, 0, nullptr, &mask), EINTR);
  CHECK_EQ(hits[0], 1);
  expect_all_blocked();
  for (pthread_t each : {selecting, suspended, undisturbed}) join(each);
  for (const volatile sig_atomic_t& each : hits) CHECK_EQ(each, 1);
  EXPECT_END(sender, 0);
  join(announcer);
  return 0;
}
