// SPDX-License-Identifier: Apache-2.0
// A stopped job whose session's leader ends is hung up and continued by the kernel; a job that is not stopped is not;
// an orphan that reads the terminal gets EIO instead of being stopped. A user would see stopped programs stay for ever.
#include "tests/programs/terminal.h"

namespace {
volatile sig_atomic_t hangups = 0, continues = 0;
}

int main() {
  Pty pty = open_pty();
  int report[2];
  CHECK_EQ(pipe(report), 0);
  pid_t leader = session_on(pty, [&] {
    pid_t jobs[2];
    for (int stopped = 0; stopped < 2; stopped++)
      jobs[stopped] = child([&] {
        CHECK_EQ(setpgid(0, 0), 0);
        on_signal(
            SIGHUP, +[](int) { hangups = hangups + 1; });
        on_signal(
            SIGCONT, +[](int) { continues = continues + 1; });
        ready_and_wait(2);
        pid_t leader_pid = getppid();
        write_all(report[1], "r", 1);
        if (stopped) {
          raise(SIGSTOP);
          for (double end = seconds() + 20; (hangups < 1 || continues < 1) && seconds() < end;) usleep(1000);
          CHECK_EQ(hangups, 1);
          CHECK_EQ(continues, 1);
        } else {
          while (getppid() == leader_pid) usleep(1000);
          usleep(50'000);
          CHECK_EQ(hangups, 0);
        }
        write_all(report[1], "d", 1);
        return 0;
      });
    int status;
    CHECK_EQ(waitpid(jobs[1], &status, WUNTRACED), jobs[1]);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    char text[2];
    read_all(report[0], text, 2);
    CHECK(memcmp(text, "rr", 2) == 0);
    return 0;  // its children become orphans
  });
  EXPECT_END(leader, 0);
  char text[2];
  read_all(report[0], text, 2);
  CHECK(memcmp(text, "dd", 2) == 0);
  return 0;
}
