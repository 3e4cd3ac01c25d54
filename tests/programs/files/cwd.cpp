// SPDX-License-Identifier: Apache-2.0
// The working directory, umask and relative paths; also of a directory that is renamed or removed under the program.
#include <sys/stat.h>

#include "tests/programs/program.h"

namespace {
bool cwd_ends_with(const char* end) {
  char cwd[4096];
  CHECK(getcwd(cwd, sizeof cwd));
  return strlen(cwd) >= strlen(end) && strcmp(cwd + strlen(cwd) - strlen(end), end) == 0;
}
}  // namespace

int main() {
  umask(027);
  CHECK_EQ(mkdir("one", 0777), 0);
  CHECK_EQ(mkdir("one/two", 0777), 0);
  int start = open(".", O_RDONLY | O_DIRECTORY);
  CHECK_EQ(chdir("one/two"), 0);
  ready_and_wait();
  CHECK(cwd_ends_with("/one/two"));
  struct stat status;
  CHECK_EQ(stat("..", &status), 0);
  CHECK_EQ(status.st_mode & 0777, 0750);
  CHECK_EQ(mkdir("three", 0777), 0);
  CHECK_EQ(chdir("three"), 0);
  CHECK_EQ(renameat(start, "one", start, "uno"), 0);
  ready_and_wait();
  CHECK(cwd_ends_with("/uno/two/three"));
  CHECK_EQ(rmdir("../three"), 0);
  char cwd[100];
  errno = 0;
  CHECK(getcwd(cwd, sizeof cwd) == nullptr && errno == ENOENT);
  CHECK_EQ(open("file", O_CREAT | O_WRONLY, 0600) == -1 && errno == ENOENT, 1);
  CHECK_EQ(fchdir(start), 0);
  mode_t mask = umask(0);
  CHECK_EQ(mask, 027);
  char small[3];
  errno = 0;
  CHECK(getcwd(small, sizeof small) == nullptr && errno == ERANGE);
  CHECK_EQ(rmdir("uno/two"), 0);
  CHECK_EQ(rmdir("uno"), 0);
  return 0;
}
