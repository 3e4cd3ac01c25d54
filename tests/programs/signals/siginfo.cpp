// SPDX-License-Identifier: Apache-2.0
// The siginfo of kill, sigqueue, raise, tgkill, a timer and a child's end, exactly as natively, while away.
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace {
siginfo_t last;
volatile sig_atomic_t hits = 0;

void take(int, siginfo_t* info, void*) {
  last = *info;
  hits = hits + 1;
}

void expect(int number, int code, pid_t pid) {
  CHECK_EQ(hits, 1);
  hits = 0;
  CHECK_EQ(last.si_signo, number);
  CHECK_EQ(last.si_code, code);
  CHECK_EQ(last.si_errno, 0);
  if (pid) CHECK_EQ(last.si_pid, pid);
  if (pid) CHECK_EQ(last.si_uid, getuid());
}

void wait_for_hit() {
  double deadline = seconds() + 10;
  while (!hits && seconds() < deadline) usleep(1000);
}

void from_myself() {
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  expect(SIGUSR1, SI_USER, getpid());
  CHECK_EQ(raise(SIGUSR2), 0);
  expect(SIGUSR2, SI_TKILL, getpid());
  CHECK_EQ(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1), 0);
  expect(SIGUSR1, SI_TKILL, getpid());
  sigval value;
  value.sival_ptr = reinterpret_cast<void*>(0x1234567890abcdef);
  CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, value), 0);
  expect(SIGRTMIN + 1, SI_QUEUE, getpid());
  CHECK(last.si_value.sival_ptr == value.sival_ptr);
  CHECK_EQ(pthread_sigqueue(pthread_self(), SIGRTMIN + 1, value), 0);
  expect(SIGRTMIN + 1, SI_QUEUE, getpid());
  CHECK(last.si_value.sival_ptr == value.sival_ptr);
}

void from_a_child() {
  pid_t parent = getpid();
  pid_t pid = child([&] {
    kill(parent, SIGUSR1);
    pause();
    return 0;
  });
  wait_for_hit();
  expect(SIGUSR1, SI_USER, pid);
  CHECK_EQ(kill(pid, SIGTERM), 0);
  wait_for_hit();
  expect(SIGCHLD, CLD_KILLED, pid);
  CHECK_EQ(last.si_status, SIGTERM);
  EXPECT_END(pid, -SIGTERM);
  pid = child([&] {
    sigval value;
    value.sival_int = 77;
    sigqueue(parent, SIGRTMIN + 2, value);
    pause();
    return 0;
  });
  wait_for_hit();
  expect(SIGRTMIN + 2, SI_QUEUE, pid);
  CHECK_EQ(last.si_value.sival_int, 77);
  kill(pid, SIGKILL);
  wait_for_hit();
  expect(SIGCHLD, CLD_KILLED, pid);
  EXPECT_END(pid, -SIGKILL);
  pid = child([] { return 33; });
  wait_for_hit();
  expect(SIGCHLD, CLD_EXITED, pid);
  CHECK_EQ(last.si_status, 33);
  EXPECT_END(pid, 33);
}

void from_a_timer() {
  timer_t timer;
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN + 3;
  event.sigev_value.sival_int = 4711;
  CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  itimerspec spec = {{0, 0}, {0, 20'000'000}};
  CHECK_EQ(timer_settime(timer, 0, &spec, nullptr), 0);
  wait_for_hit();
  expect(SIGRTMIN + 3, SI_TIMER, 0);
  CHECK_EQ(last.si_value.sival_int, 4711);
  CHECK_EQ(last.si_overrun, 0);
  CHECK_EQ(timer_delete(timer), 0);
}
}  // namespace

int main() {
  for (int number : {SIGUSR1, SIGUSR2, SIGCHLD, SIGRTMIN + 1, SIGRTMIN + 2, SIGRTMIN + 3}) on_signal(number, take);
  for (int round = 0; round < 3; round++) {
    from_myself();
    from_a_child();
    from_a_timer();
    if (round < 2) ready_and_wait();
  }
  return 0;
}
