// SPDX-License-Identifier: Apache-2.0
// Moved while its open waits for the holder of a lease to give way: a user would see a file server that serves a file
// which a client still has in its cache.
#include "tests/programs/program.h"

int main() {
  int made = open("leased", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(made >= 0);
  close(made);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  sigset_t breaks;
  sigemptyset(&breaks);
  sigaddset(&breaks, SIGIO);
  pid_t holder = child([&] {
    CHECK_EQ(sigprocmask(SIG_BLOCK, &breaks, nullptr), 0);
    int fd = open("leased", O_RDONLY);
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_RDLCK), 0);
    write_all(ends[1], "l", 1);
    int number = 0;
    CHECK_EQ(sigwait(&breaks, &number), 0);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);  // what it has to become
    if (!getenv("OMIG_TEST_FIFOS")) usleep(200'000);
    wait_for_go();
    int log = open("log", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    write_all(log, "gave way", 8);
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
    return 0;
  });
  char text[20] = {};
  read_all(ends[0], text, 1);
  CHECK_ERRNO(open("leased", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
  announce("blocked");
  int fd = open("leased", O_WRONLY);
  CHECK(fd >= 0);
  CHECK_EQ(slurp("log", text), 8);
  write_all(fd, "written", 7);
  EXPECT_END(holder, 0);
  CHECK_EQ(unlink("leased"), 0);
  CHECK_EQ(unlink("log"), 0);
  return 0;
}
