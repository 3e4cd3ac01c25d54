// SPDX-License-Identifier: Apache-2.0
// exec keeps what it must (pid, ignored signals, mask, pending signals, cwd, umask, descriptors without CLOEXEC,
// limits, the file's offset) and drops what it must, before, while and after being away, several times in a row.
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/programs/program.h"

namespace {
void prepare(const char* directory) {
  CHECK_EQ(mkdir(directory, 0700), 0);
  CHECK_EQ(chdir(directory), 0);
  umask(037);
  signal(SIGUSR1, SIG_IGN);
  signal(SIGINT, [](int) {});  // becomes the default action
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  sigaddset(&blocked, SIGRTMIN + 3);
  CHECK_EQ(sigprocmask(SIG_SETMASK, &blocked, nullptr), 0);
  CHECK_EQ(kill(getpid(), SIGUSR2), 0);
  rlimit limit = {};
  CHECK_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
  limit.rlim_cur = 4 << 20;
  CHECK_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
  int kept = open("kept", O_RDWR | O_CREAT, 0666);
  CHECK(kept >= 0);
  write_all(kept, "0123456789", 10);
  CHECK_EQ(lseek(kept, 4, SEEK_SET), 4);
  CHECK_EQ(dup2(kept, 50), 50);
  close(kept);
  CHECK_EQ(fcntl(50, F_DUPFD_CLOEXEC, 51), 51);
  CHECK_EQ(setenv("OMIG_TEST_WORD", "a word with spaces", 1), 0);
}

void check(int stage, const char* pid, const char* cwd_end) {
  CHECK_EQ(atoi(pid), getpid());
  char cwd[4096];
  CHECK(getcwd(cwd, sizeof cwd));
  CHECK(strcmp(cwd + strlen(cwd) - strlen(cwd_end), cwd_end) == 0);
  mode_t mask = umask(037);
  CHECK_EQ(mask, 037);
  struct sigaction action;
  CHECK_EQ(sigaction(SIGUSR1, nullptr, &action), 0);
  CHECK(action.sa_handler == SIG_IGN);
  CHECK_EQ(sigaction(SIGINT, nullptr, &action), 0);
  CHECK(action.sa_handler == SIG_DFL);
  sigset_t set;
  CHECK_EQ(sigprocmask(SIG_BLOCK, nullptr, &set), 0);
  CHECK(sigismember(&set, SIGUSR2) && sigismember(&set, SIGRTMIN + 3) && !sigismember(&set, SIGINT));
  CHECK_EQ(sigpending(&set), 0);
  CHECK(sigismember(&set, SIGUSR2));
  rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
  CHECK_EQ(limit.rlim_cur, 4 << 20);
  char byte;
  CHECK_EQ(read(50, &byte, 1), 1);
  CHECK_EQ(byte, '0' + 4 + stage - 1);
  CHECK_ERRNO(fcntl(51, F_GETFD), EBADF);
  CHECK(strcmp(getenv("OMIG_TEST_WORD"), "a word with spaces") == 0);
}
}  // namespace

int main(int argc, char** argv) {
  char pid[16], next[16];
  int stage = argc > 1 ? atoi(argv[1]) : 0;
  snprintf(pid, sizeof pid, "%d", getpid());
  snprintf(next, sizeof next, "%d", stage + 1);
  if (stage == 0)
    prepare("executing");
  else
    check(stage, argv[2], "/executing");
  ready_and_wait();  // each stage is moved; the first exec happens away, with what was set at home, and so on
  if (stage == 3) {
    CHECK_EQ(unlink("kept"), 0);
    CHECK_EQ(chdir(".."), 0);
    CHECK_EQ(rmdir("executing"), 0);
    return 0;
  }
  if (stage == 1) {
    // A failed exec changes nothing.
    CHECK_ERRNO(execl("/no/such/program", "x", nullptr), ENOENT);
    CHECK_ERRNO(execl("kept", "x", nullptr), EACCES);
  }
  execl("/proc/self/exe", argv[0], next, pid, nullptr);
  FAIL("exec: %s", strerror(errno));
}
