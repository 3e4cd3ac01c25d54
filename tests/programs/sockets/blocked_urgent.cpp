// SPDX-License-Identifier: Apache-2.0
// Moved while it waits in sigsuspend: urgent data of the peer sends SIGURG to the owner that F_SETOWN named, the mark
// stands at the right byte, and SO_OOBINLINE keeps it in line. A user could not interrupt a transfer (telnet, ftp).
#include <sys/ioctl.h>

#include "tests/programs/network.h"

namespace {
volatile sig_atomic_t urgent = 0;
}

int main() {
  int pair[2];
  tcp_pair(pair);
  on_signal(
      SIGURG, +[](int) { urgent = urgent + 1; });
  CHECK_EQ(fcntl(pair[0], F_SETOWN, getpid()), 0);
  CHECK_EQ(fcntl(pair[0], F_GETOWN), getpid());
  sigset_t mask, old;
  sigemptyset(&mask);
  sigaddset(&mask, SIGURG);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &mask, &old), 0);
  pid_t peer = after_go([&] { CHECK_EQ(send(pair[1], "!", 1, MSG_OOB), 1); });
  char text[20] = {};
  announce("blocked");
  CHECK_ERRNO(sigsuspend(&old), EINTR);
  CHECK_EQ(sigprocmask(SIG_SETMASK, &old, nullptr), 0);
  CHECK_EQ(urgent, 1);
  EXPECT_END(peer, 0);
  CHECK_EQ(recv(pair[0], text, 20, MSG_OOB), 1);
  CHECK_EQ(text[0], '!');
  CHECK_ERRNO(recv(pair[0], text, 20, MSG_OOB), EINVAL);  // only once
  write_all(pair[1], "z", 1);
  CHECK_EQ(recv(pair[0], text, 20, 0), 1);  // the urgent byte is passed over
  CHECK_EQ(text[0], 'z');
  set_option(pair[0], SOL_SOCKET, SO_OOBINLINE, 1);
  int at_mark = 0;
  ready_and_wait();
  CHECK_EQ(send(pair[1], "ab?", 3, MSG_OOB), 3);
  CHECK_EQ(send(pair[1], "cd", 2, 0), 2);
  for (double end = seconds() + 20; urgent < 2 && seconds() < end;) usleep(1000);
  CHECK_EQ(urgent, 2);
  CHECK_EQ(ioctl(pair[0], SIOCATMARK, &at_mark), 0);
  CHECK_EQ(at_mark, 0);
  CHECK_EQ(recv(pair[0], text, 20, 0), 2);  // reads stop at the mark
  CHECK_EQ(ioctl(pair[0], SIOCATMARK, &at_mark), 0);
  CHECK_EQ(at_mark, 1);
  read_all(pair[0], text, 3);
  CHECK(memcmp(text, "?cd", 3) == 0);
  return 0;
}
