// SPDX-License-Identifier: Apache-2.0
// Moved while pidfds are polled, by epoll and by waitid: a child's and one of a process that is no child. They tell the
// end once it has come, not before; a service manager would see its services die or live for ever.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "tests/programs/waits.h"

namespace {
int open_pidfd(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  CHECK(fd >= 0);
  return fd;
}
}  // namespace

int main() {
  int numbers[2], hold[2];
  CHECK_EQ(pipe(numbers), 0);
  CHECK_EQ(pipe(hold), 0);
  char byte;
  const pid_t parent = child([&] {
    const pid_t grandchild = child([&] { return static_cast<int>(read(hold[0], &byte, 1)); });
    write_all(numbers[1], &grandchild, sizeof grandchild);
    EXPECT_END(grandchild, 1);
    return 0;
  });
  pid_t grandchild;
  read_all(numbers[0], &grandchild, sizeof grandchild);
  const pid_t killed = child([] {
    pause();
    return 0;
  });
  const int of_killed = open_pidfd(killed), of_grandchild = open_pidfd(grandchild);
  const pid_t helper = after_go([&] {
    write_all(hold[1], "x", 1);
    usleep(50'000);
    kill(killed, SIGINT);
  });
  pthread_t threads[] = {
      thread([of_grandchild, of_killed] {
        pollfd polled[2] = {{of_grandchild, POLLIN, 0}, {of_killed, POLLIN, 0}};
        CHECK_EQ(poll(polled, 2, -1) >= 1, 1);
        CHECK_EQ(polled[0].revents & POLLIN, POLLIN);
      }),
      thread([of_killed] {
        const int set = epoll_create1(0);
        epoll_event event = {EPOLLIN, {.u32 = 5}};
        CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, of_killed, &event), 0);
        CHECK_EQ(epoll_wait(set, &event, 1, -1), 1);
        CHECK_EQ(event.data.u32, 5);
        close(set);
      }),
      thread([of_grandchild] {
        const int fd = of_grandchild;
        siginfo_t info = {};
        CHECK_ERRNO(waitid(P_PIDFD, static_cast<id_t>(fd), &info, WEXITED), ECHILD);  // no child of ours
      }),
  };
  siginfo_t info = {};
  announce("blocked");
  CHECK_EQ(waitid(P_PIDFD, static_cast<id_t>(of_killed), &info, WEXITED | WNOWAIT), 0);
  CHECK_EQ(info.si_pid, killed);
  CHECK_EQ(info.si_status, SIGINT);
  for (pthread_t each : threads) join(each);
  EXPECT_END(killed, -SIGINT);
  EXPECT_END(parent, 0);
  EXPECT_END(helper, 0);
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, of_killed, 0, nullptr, 0), ESRCH);
  return 0;
}
