// SPDX-License-Identifier: Apache-2.0
// Two processes, both moved: one holds a terminal's master, as script, ssh and tmux do, the other works on the slave;
// every line typed is answered, all the time. A user would see their screen freeze.
#include "tests/programs/terminal.h"

int main() {
  Pty pty = open_pty();
  change_settings(pty.slave, [](termios& settings) { clear(settings.c_lflag, ECHO); });
  pid_t worker = session_on(pty, [&] {
    close(pty.master);
    announce("busy", 2);
    char line[200];
    ssize_t got;
    while ((got = read(pty.slave, line, sizeof line)) > 0) {
      for (ssize_t i = 0; i < got / 2; i++) {  // turned round, but for the newline
        char kept = line[i];
        line[i] = line[got - 2 - i];
        line[got - 2 - i] = kept;
        if (got - 2 - i <= i + 1) break;
      }
      write_all(pty.slave, line, static_cast<size_t>(got));
    }
    CHECK_EQ(got, 0);
    wait_for_go();
    return 0;
  });
  close(pty.slave);
  int count = 0;
  {
    Go go(2);
    for (; !go.done(); count++) {
      char line[60], want[60], got[60] = {};
      int length = snprintf(line, sizeof line, "line %d of the session\n", count);
      for (int i = 0; i < length - 1; i++) want[i] = line[length - 2 - i];
      want[length - 1] = '\r', want[length] = '\n';
      write_all(pty.master, line, static_cast<size_t>(length));
      read_all(pty.master, got, static_cast<size_t>(length) + 1);
      if (memcmp(got, want, static_cast<size_t>(length) + 1) != 0) FAIL("line %d came back as %s", count, got);
    }
  }
  CHECK(count > 0);
  type(pty, "\x04");  // end of file
  EXPECT_END(worker, 0);
  char byte;
  CHECK_ERRNO(read(pty.master, &byte, 1), EIO);
  return 0;
}
