// SPDX-License-Identifier: Apache-2.0
// A session takes a terminal for its own: /dev/tty is it, ^C and ^\ come as signals from the kernel, and it can be
// given up. A user would not get rid of a program by ^C, or would kill the wrong one.
#include "tests/programs/terminal.h"

namespace {
volatile sig_atomic_t interrupts = 0, quits = 0;
siginfo_t last;

void wait_until(volatile sig_atomic_t& count, int want) {
  double end = seconds() + 20;
  while (count < want && seconds() < end) usleep(1000);
  CHECK_EQ(count, want);
  CHECK(last.si_code == SI_KERNEL && last.si_pid == 0);
}
}  // namespace

int main() {
  Pty pty = open_pty();
  pid_t leader = session_on(pty, [&] {
    on_signal(
        SIGINT, +[](int, siginfo_t* info, void*) {
          last = *info;
          interrupts = interrupts + 1;
        });
    on_signal(
        SIGQUIT, +[](int, siginfo_t* info, void*) {
          last = *info;
          quits = quits + 1;
        });
    for (int round = 1; round <= 2; round++) {
      ready_and_wait();
      int terminal = open("/dev/tty", O_RDWR);
      CHECK(terminal >= 0);
      CHECK_EQ(tcgetsid(terminal), getpid());
      CHECK_EQ(tcgetpgrp(terminal), getpid());
      char name[100];
      CHECK_EQ(ttyname_r(pty.slave, name, sizeof name), 0);
      CHECK(strcmp(name, pty.name) == 0);
      type(pty, "\x03");
      wait_until(interrupts, round);
      type(pty, "\x1c");
      wait_until(quits, round);
      type(pty, "lost\x03kept\n");  // what was typed before a ^C is forgotten
      wait_until(interrupts, round + 1);
      expect_line(terminal, "kept\n");
      interrupts = round;
      close(terminal);
    }
    CHECK_ERRNO(setsid(), EPERM);
    on_signal(SIGHUP, SIG_IGN);
    CHECK_EQ(ioctl(pty.slave, TIOCNOTTY), 0);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    ready_and_wait();
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    type(pty, "\x03");
    type(pty, "nobody's\n");
    expect_line(pty.slave, "nobody's\n");
    CHECK_EQ(interrupts, 2);
    return 0;
  });
  EXPECT_END(leader, 0);
  return 0;
}
