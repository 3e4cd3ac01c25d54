// SPDX-License-Identifier: Apache-2.0
// Moved while one thread reads a signalfd and another polls a second one: what is read is the sender's signal with all
// that belongs to it, once; a signal of the other set does not end the read.
#include <poll.h>
#include <sys/signalfd.h>

#include "tests/programs/waits.h"

namespace {
int descriptor(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC);
  CHECK(fd >= 0);
  return fd;
}
void expect_signal(const signalfd_siginfo& info, int number, pid_t sender) {
  CHECK_EQ(info.ssi_signo, number);
  CHECK_EQ(info.ssi_pid, sender);
  CHECK_EQ(info.ssi_uid, getuid());
}
}  // namespace

int main() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGUSR1, SIGRTMIN + 3, SIGCHLD}) sigaddset(&set, number);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  const int users = descriptor(SIGUSR1), queued = descriptor(SIGRTMIN + 3), ends = descriptor(SIGCHLD);
  const pid_t self = getpid();
  const pid_t sender = after_go([self] {
    for (int i = 0; i < 2; i++) {
      sigval value;
      value.sival_int = 70 + i;
      CHECK_EQ(sigqueue(self, SIGRTMIN + 3, value), 0);
    }
    usleep(50'000);
    CHECK_EQ(kill(self, SIGUSR1), 0);
  });
  pthread_t poller = thread([queued, sender] {
    pollfd polled = {queued, POLLIN, 0};
    CHECK_EQ(poll(&polled, 1, -1), 1);
    CHECK_EQ(polled.revents, POLLIN);
    for (int i = 0; i < 2; i++) {
      signalfd_siginfo info = {};
      CHECK_EQ(read(queued, &info, sizeof info), sizeof info);
      expect_signal(info, SIGRTMIN + 3, sender);
      CHECK_EQ(info.ssi_code, SI_QUEUE);
      CHECK_EQ(info.ssi_int, 70 + i);
    }
    CHECK_EQ(poll(&polled, 1, 0), 0);
  });
  signalfd_siginfo info[2] = {};
  announce("blocked");
  CHECK_EQ(read(users, info, sizeof info), sizeof info[0]);
  expect_signal(info[0], SIGUSR1, sender);
  CHECK_EQ(info[0].ssi_code, SI_USER);
  join(poller);
  CHECK_EQ(read(ends, info, sizeof info), sizeof info[0]);
  expect_signal(info[0], SIGCHLD, sender);
  CHECK_EQ(info[0].ssi_code, CLD_EXITED);
  EXPECT_END(sender, 0);
  return 0;
}
