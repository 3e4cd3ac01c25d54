// SPDX-License-Identifier: Apache-2.0
// One set over an eventfd, a timerfd, a signalfd, an inotify descriptor and a pidfd: each wakes
// it, with the data it was registered with. A user would see an event loop (libuv, systemd) deaf to one kind of event.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "tests/programs/program.h"

namespace {
int set;

void add(int fd, unsigned long tag) {
  CHECK(fd >= 0);
  epoll_event event = {EPOLLIN, {.u64 = tag}};
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
}
void expect(unsigned long tag) {
  epoll_event event;
  CHECK_EQ(epoll_wait(set, &event, 1, 20'000), 1);
  CHECK_EQ(event.events, EPOLLIN);
  CHECK_EQ(event.data.u64, tag);
}
}  // namespace

int main() {
  set = epoll_create1(EPOLL_CLOEXEC);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &mask, nullptr), 0);
  int counter = eventfd(0, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, 0), signals = signalfd(-1, &mask, 0);
  int watch = inotify_init1(IN_NONBLOCK), ends[2];
  CHECK_EQ(pipe(ends), 0);
  CHECK(inotify_add_watch(watch, ".", IN_CREATE) >= 0);
  pid_t pid = child([&] {
    char byte;
    return static_cast<int>(read(ends[0], &byte, 1));
  });
  int process = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  int all[] = {counter, timer, signals, watch, process};
  for (unsigned long i = 0; i < 5; i++) add(all[i], 0x100000000 + i);
  epoll_event none;
  CHECK_EQ(epoll_wait(set, &none, 1, 0), 0);
  ready_and_wait();
  unsigned long number = 5;
  char text[256];
  CHECK_EQ(write(counter, &number, 8), 8);
  expect(0x100000000);
  CHECK_EQ(read(counter, &number, 8), 8);
  itimerspec soon = {{}, {0, 1'000'000}};
  CHECK_EQ(timerfd_settime(timer, 0, &soon, nullptr), 0);
  expect(0x100000001);
  CHECK_EQ(read(timer, &number, 8), 8);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  expect(0x100000002);
  signalfd_siginfo info;
  CHECK_EQ(read(signals, &info, sizeof info), sizeof info);
  CHECK(info.ssi_signo == SIGUSR1 && info.ssi_pid == static_cast<unsigned>(getpid()));
  ready_and_wait();
  close(open("new", O_WRONLY | O_CREAT, 0600));
  expect(0x100000003);
  CHECK(read(watch, text, sizeof text) > 0);
  write_all(ends[1], "x", 1);
  expect(0x100000004);
  EXPECT_END(pid, 1);
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_DEL, process, nullptr), 0);
  CHECK_EQ(epoll_wait(set, &none, 1, 0), 0);
  return 0;
}
