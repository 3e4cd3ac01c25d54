// SPDX-License-Identifier: Apache-2.0
// vfork lends its memory until the exec, and the parent waits for it; many times, with and without exec.
#include "tests/programs/program.h"

namespace {

// Each vfork has a function of its own, because the child returns through the parent's variables.
[[gnu::noipa]] pid_t vfork_and_exit(volatile int* written, int code) {
  pid_t pid = vfork();
  if (pid == 0) {
    *written = 5;
    _exit(code);
  }
  return pid;
}

[[gnu::noipa]] pid_t vfork_and_exec(const char* path) {
  pid_t pid = vfork();
  if (pid == 0) {
    execl(path, "sh", "-c", "exit 17", nullptr);
    _exit(errno == ENOENT ? 3 : 4);
  }
  return pid;
}

}  // namespace

int main() {
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 10; i++) {
      volatile int written = 0;
      pid_t pid = vfork_and_exit(&written, i);
      CHECK(pid > 0);
      CHECK(written == 5 || written == 0);  // POSIX lets it be a copy; what must not be is a third value
      EXPECT_END(pid, i);
      EXPECT_END(vfork_and_exec("/bin/sh"), 17);
      EXPECT_END(vfork_and_exec("/no/such/program"), 3);
    }
    if (round < 2) ready_and_wait();
  }
  return 0;
}
