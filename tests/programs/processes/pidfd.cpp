// SPDX-License-Identifier: Apache-2.0
// pidfds: of oneself and of a child, polled, used to signal and to wait.
#include <poll.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

int main() {
  pid_t pid = child([] {
    pause();
    return 0;
  });
  int before = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  CHECK(before >= 0);
  ready_and_wait();
  int after = static_cast<int>(syscall(SYS_pidfd_open, pid, 0)),
      self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  CHECK(after >= 0 && self >= 0);
  pollfd polled[2] = {{before, POLLIN, 0}, {after, POLLIN, 0}};
  CHECK_EQ(poll(polled, 2, 0), 0);
  CHECK_EQ(syscall(SYS_pidfd_send_signal, self, 0, nullptr, 0), 0);
  CHECK_EQ(syscall(SYS_pidfd_send_signal, before, SIGTERM, nullptr, 0), 0);
  CHECK_EQ(poll(polled, 2, 10'000) > 0, 1);
  siginfo_t info = {};
  CHECK_EQ(waitid(P_PIDFD, static_cast<id_t>(after), &info, WEXITED), 0);
  CHECK_EQ(info.si_pid, pid);
  CHECK_EQ(info.si_status, SIGTERM);
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, before, 0, nullptr, 0), ESRCH);
  return 0;
}
