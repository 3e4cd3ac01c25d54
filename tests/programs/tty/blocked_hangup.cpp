// SPDX-License-Identifier: Apache-2.0
// Moved while it reads its terminal, whose other end is then closed: the session's leader gets SIGHUP and SIGCONT, the
// read ends, later ones find the end, writes EIO. A user would see programs live on behind a closed window.
#include "tests/programs/terminal.h"

namespace {
volatile sig_atomic_t hangups = 0, continues = 0;
}

int main() {
  Pty pty = open_pty();
  pid_t leader = session_on(pty, [&] {
    close(pty.master);
    on_signal(
        SIGHUP, +[](int) { hangups = hangups + 1; }, SA_RESTART);
    on_signal(
        SIGCONT, +[](int) { continues = continues + 1; }, SA_RESTART);
    char byte;
    announce("blocked");
    ssize_t got = read(pty.slave, &byte, 1);
    CHECK(got == 0 || errno == EIO);  // a race in Linux itself
    double end = seconds() + 20;
    while ((hangups < 1 || continues < 1) && seconds() < end) usleep(1000);
    CHECK_EQ(hangups, 1);
    CHECK_EQ(continues, 1);
    ready_and_wait();
    CHECK_EQ(read(pty.slave, &byte, 1), 0);
    CHECK_ERRNO(write(pty.slave, "x", 1), EIO);
    termios settings;
    CHECK_ERRNO(tcgetattr(pty.slave, &settings), EIO);
    pollfd polled = {pty.slave, POLLIN, 0};
    CHECK_EQ(poll(&polled, 1, 0), 1);
    CHECK_EQ(polled.revents & (POLLHUP | POLLIN), POLLHUP | POLLIN);
    CHECK_ERRNO(open(pty.name, O_RDWR | O_NOCTTY), ENOENT);
    return 0;
  });
  close(pty.slave);
  wait_for_go();  // on behalf of the leader, which reads
  if (!getenv("OMIG_TEST_FIFOS")) usleep(200'000);
  close(pty.master);
  EXPECT_END(leader, 0);
  return 0;
}
