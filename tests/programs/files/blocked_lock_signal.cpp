// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in F_SETLKW with a handler: without SA_RESTART the wait ends with EINTR and no lock is left
// behind. A user would see a time-out on a lock that never comes.
#include "tests/programs/program.h"

namespace {
volatile int handled;
struct flock whole(short type) {
  struct flock lock = {};
  lock.l_type = type;
  return lock;
}
}  // namespace

int main() {
  on_signal(SIGUSR1, [](int) { handled = handled + 1; });
  int fd = open("busy", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  int locked[2];
  CHECK_EQ(pipe(locked), 0);
  pid_t parent = getpid();
  pid_t owner = child([&] {
    struct flock lock = whole(F_WRLCK);
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    write_all(locked[1], "l", 1);
    if (!getenv("OMIG_TEST_FIFOS")) usleep(200'000);
    wait_for_go();
    CHECK_EQ(kill(parent, SIGUSR1), 0);
    return pause();
  });
  char byte;
  read_all(locked[0], &byte, 1);
  announce("blocked");
  struct flock lock = whole(F_WRLCK);
  CHECK_ERRNO(fcntl(fd, F_SETLKW, &lock), EINTR);
  CHECK_EQ(handled, 1);
  lock = whole(F_RDLCK);
  CHECK_EQ(fcntl(fd, F_GETLK, &lock), 0);
  CHECK_EQ(lock.l_pid, owner);
  CHECK_EQ(kill(owner, SIGKILL), 0);
  EXPECT_END(owner, -SIGKILL);
  lock = whole(F_WRLCK);
  CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
  CHECK_EQ(unlink("busy"), 0);
  return 0;
}
