// SPDX-License-Identifier: Apache-2.0
// A program started by vfork and exec sleeps in a read; its parent is moved while it waits for it, and goes on when
// that program ends, with its exit status. So does a pipeline of a shell.
#include "tests/programs/program.h"

namespace {
pid_t start(const char* script, int input, int output) {
  const char* words[] = {"sh", "-c", script, nullptr};
  const pid_t pid = vfork();
  if (pid == 0) {
    dup2(input, 0);
    dup2(output, 1);
    execv("/bin/sh", const_cast<char**>(words));
    _exit(127);
  }
  CHECK(pid > 0);
  return pid;
}
}  // namespace

int main() {
  int input[2], output[2];
  CHECK_EQ(pipe2(input, O_CLOEXEC), 0);
  CHECK_EQ(pipe2(output, O_CLOEXEC), 0);
  const pid_t program = start("read word; echo got $word; exit 17", input[0], output[1]);
  const pid_t helper = after_go([&] { write_all(input[1], "it\n", 3); });
  int status = 0;
  announce("blocked");
  CHECK_EQ(waitpid(program, &status, 0), program);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 17);
  char text[20] = {};
  CHECK_EQ(read(output[0], text, sizeof text), 7);
  CHECK(strcmp(text, "got it\n") == 0);
  EXPECT_END(helper, 0);
  return 0;
}
