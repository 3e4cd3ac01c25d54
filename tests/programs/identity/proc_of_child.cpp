// SPDX-License-Identifier: Apache-2.0
// A parent reads /proc/PID of its child while both are moved: name, parent, state, directory, program. A user would see
// a supervisor (runit, make -j) that no longer knows its own children.
#include <sys/prctl.h>
#include <sys/stat.h>

#include "tests/programs/program.h"

namespace {
void read_of(pid_t pid, const char* name, char (&text)[8192]) {
  char path[60];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  slurp(path, text);
}
void link_of(pid_t pid, const char* name, char (&text)[8192]) {
  char path[60];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  ssize_t length = readlink(path, text, sizeof text - 1);
  CHECK(length > 0);
  text[length] = 0;
}
}  // namespace

int main() {
  CHECK_EQ(mkdir("below", 0700), 0);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t pid = child([&] {
    CHECK_EQ(chdir("below"), 0);
    CHECK_EQ(prctl(PR_SET_NAME, "the child"), 0);
    close(ends[1]);
    ready_and_wait(2);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 0);
    return 0;
  });
  ready_and_wait(2);
  static char text[8192], own[8192], want[8192];
  char state = 0;
  do {  // it takes its byte of go, and then sleeps until we end it
    read_of(pid, "stat", text);
    CHECK_EQ(atoi(text), pid);
    CHECK(strstr(text, "(the child) "));
    state = strrchr(text, ')')[2];
    CHECK(state == 'S' || state == 'R');
  } while (state != 'S');
  CHECK_EQ(atoi(strrchr(text, ')') + 4), getpid());
  read_of(pid, "comm", text);
  CHECK(strcmp(text, "the child\n") == 0);
  read_of(pid, "status", text);
  snprintf(want, sizeof want, "\nPid:\t%d\nPPid:\t%d\n", pid, getpid());
  CHECK(strstr(text, want));
  link_of(pid, "exe", text);
  link_of(getpid(), "exe", own);
  CHECK(strcmp(text, own) == 0);
  link_of(pid, "cwd", text);
  link_of(getpid(), "cwd", own);
  strcat(own, "/below");
  CHECK(strcmp(text, own) == 0);
  read_of(pid, "limits", text);
  read_of(getpid(), "limits", own);
  CHECK(strcmp(text, own) == 0);
  close(ends[1]);
  siginfo_t info = {};
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  read_of(pid, "stat", text);
  CHECK_EQ(strrchr(text, ')')[2], 'Z');
  EXPECT_END(pid, 0);
  snprintf(want, sizeof want, "/proc/%d", pid);
  CHECK_ERRNO(open(want, O_RDONLY), ENOENT);
  CHECK_EQ(rmdir("below"), 0);
  return 0;
}
