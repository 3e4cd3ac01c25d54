// SPDX-License-Identifier: Apache-2.0
// Signals that nobody wants (children's ends, SIGURG, an ignored SIGUSR1) do not end epoll_wait, while threads come and
// go; one that is about to end blocks all signals. A user would see an event loop stop with "Interrupted system call".
#include <sys/epoll.h>

#include "tests/programs/waits.h"

int main() {
  signal(SIGUSR1, SIG_IGN);
  const int set = epoll_create1(0);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  epoll_event event = {EPOLLIN, {.u32 = 5}};
  CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), 0);
  std::atomic<bool> over{false};
  pthread_t churning = thread([&over] {
    while (!over) join(thread([] { sched_yield(); }));
  });
  const pid_t self = getpid();
  const pid_t sender = child([&] {
    while (getppid() == self) {
      kill(self, SIGUSR1);
      kill(self, SIGURG);
      usleep(500);
    }
    return 0;
  });
  Go go;
  while (!go.done()) {
    const pid_t short_lived = child([] { return 3; });
    CHECK_EQ(epoll_wait(set, &event, 1, 7), 0);
    EXPECT_END(short_lived, 3);
  }
  over = true;
  join(churning);
  kill(sender, SIGKILL);
  EXPECT_END(sender, -SIGKILL);
  return 0;
}
