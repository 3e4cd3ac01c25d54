// SPDX-License-Identifier: Apache-2.0
// A session on a pseudo-terminal: ^C, ^Z and ^\ typed at it reach the foreground group, which is moved, and only it;
// stopped jobs continue in the background and get SIGTTIN when they read.
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "tests/programs/program.h"

namespace {
int report[2];
volatile sig_atomic_t interrupts = 0;

// The job: counts ^C, and reads lines from its terminal.
int job() {
  CHECK_EQ(setpgid(0, 0), 0);
  on_signal(
      SIGINT, +[](int) {
        interrupts = interrupts + 1;
        (void)!write(report[1], "i", 1);
      });
  signal(SIGTTOU, SIG_IGN);
  CHECK_EQ(tcsetpgrp(0, getpid()), 0);
  signal(SIGTTOU, SIG_DFL);
  ready_and_wait();
  CHECK_EQ(tcgetpgrp(0), getpid());
  write_all(report[1], "r", 1);
  char text[100] = {};
  ssize_t got = 0;
  while (got == 0 || (got < 0 && errno == EINTR)) got = read(0, text, sizeof text);
  CHECK(strcmp(text, "typed\n") == 0);
  CHECK_EQ(interrupts, 2);
  return 70;
}

void expect_report(char want) {
  char got;
  read_all(report[0], &got, 1);
  CHECK_EQ(got, want);
}

// The session leader, as a shell is.
int leader(int master, int slave) {
  CHECK(setsid() > 0);
  CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
  CHECK_EQ(dup2(slave, 0), 0);
  signal(SIGTTOU, SIG_IGN);
  pid_t pid = child(job);
  expect_report('r');
  for (int i = 0; i < 2; i++) {
    write_all(master, "\x03", 1);
    expect_report('i');
  }
  int status;
  write_all(master, "\x1a", 1);
  CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
  CHECK_EQ(tcsetpgrp(0, getpgrp()), 0);
  CHECK_EQ(killpg(pid, SIGCONT), 0);
  CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);  // it reads in the background
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
  CHECK_EQ(tcsetpgrp(0, pid), 0);
  CHECK_EQ(killpg(pid, SIGCONT), 0);
  write_all(master, "typed\n", 6);
  EXPECT_END(pid, 70);
  pid = child([] {
    setpgid(0, 0);
    tcsetpgrp(0, getpid());
    ready_and_wait();
    write_all(report[1], "q", 1);
    pause();
    return 0;
  });
  expect_report('q');
  write_all(master, "\x1c", 1);
  EXPECT_END(pid, -SIGQUIT);
  return 71;
}
}  // namespace

int main() {
  int master, slave;
  CHECK_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  CHECK_EQ(pipe(report), 0);
  EXPECT_END(child([&] { return leader(master, slave); }), 71);
  return 0;
}
