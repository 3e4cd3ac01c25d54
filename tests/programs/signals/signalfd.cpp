// SPDX-License-Identifier: Apache-2.0
// signalfd: what it reads is the sender's signal, with pid and value, and it shows in poll.
#include <poll.h>
#include <sys/signalfd.h>

#include "tests/programs/program.h"

int main() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGRTMIN + 2);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, nullptr), 0);
  int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  CHECK(fd >= 0);
  signalfd_siginfo info[3];
  pid_t parent = getpid();
  for (int round = 0; round < 3; round++) {
    CHECK_ERRNO(read(fd, info, sizeof info), EAGAIN);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    if (round < 2) ready_and_wait();  // one pending in the descriptor while it moves
    pid_t helper = child([&] {
      sigval value;
      value.sival_int = 8;
      return sigqueue(parent, SIGRTMIN + 2, value);
    });
    EXPECT_END(helper, 0);
    pollfd polled = {fd, POLLIN, 0};
    double deadline = seconds() + 10;
    ssize_t got = 0;
    while (got < 2 * static_cast<ssize_t>(sizeof *info) && seconds() < deadline) {
      CHECK_EQ(poll(&polled, 1, 5000), 1);
      ssize_t more = read(fd, reinterpret_cast<char*>(info) + got, sizeof info - static_cast<size_t>(got));
      CHECK(more > 0);
      got += more;
    }
    CHECK_EQ(got, 2 * sizeof *info);
    int first = info[0].ssi_signo == SIGUSR1 ? 0 : 1;
    CHECK_EQ(info[first].ssi_signo, SIGUSR1);
    CHECK_EQ(info[first].ssi_code, SI_USER);
    CHECK_EQ(info[first].ssi_pid, getpid());
    CHECK_EQ(info[!first].ssi_signo, SIGRTMIN + 2);
    CHECK_EQ(info[!first].ssi_int, 8);
    CHECK_EQ(info[!first].ssi_pid, helper);
  }
  return 0;
}
