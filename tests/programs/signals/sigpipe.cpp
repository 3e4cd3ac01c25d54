// SPDX-License-Identifier: Apache-2.0
// SIGPIPE: handled, ignored, blocked, and with its default action, for pipes and sockets.
#include <sys/socket.h>

#include "tests/programs/program.h"

namespace {
volatile sig_atomic_t hits = 0;

int broken_pipe() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  close(ends[0]);
  return ends[1];
}
}  // namespace

int main() {
  ready_and_wait();
  on_signal(
      SIGPIPE, +[](int, siginfo_t* info, void*) {
        CHECK_EQ(info->si_code, SI_USER);
        CHECK_EQ(info->si_pid, getpid());
        hits = hits + 1;
      });
  int fd = broken_pipe(), pair[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  close(pair[1]);
  CHECK_ERRNO(write(fd, "x", 1), EPIPE);
  CHECK_EQ(hits, 1);
  CHECK_ERRNO(send(pair[0], "x", 1, 0), EPIPE);
  CHECK_EQ(hits, 2);
  CHECK_ERRNO(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_EQ(hits, 2);
  signal(SIGPIPE, SIG_IGN);
  CHECK_ERRNO(write(fd, "x", 1), EPIPE);
  signal(SIGPIPE, SIG_DFL);
  sigset_t set, pending;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, nullptr), 0);
  CHECK_ERRNO(write(fd, "x", 1), EPIPE);
  CHECK_EQ(sigpending(&pending), 0);
  CHECK_EQ(sigismember(&pending, SIGPIPE), 1);
  siginfo_t info;
  CHECK_EQ(sigwaitinfo(&set, &info), SIGPIPE);
  CHECK_EQ(sigprocmask(SIG_UNBLOCK, &set, nullptr), 0);
  EXPECT_END(child([&] {
               ready_and_wait();
               (void)!write(fd, "x", 1);
               return 0;
             }),
             -SIGPIPE);
  CHECK_EQ(WEXITSTATUS(system("yes | head -1 >/dev/null; exit ${PIPESTATUS:-7}")), 7);
  return 0;
}
