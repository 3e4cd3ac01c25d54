// SPDX-License-Identifier: Apache-2.0
// Three processes append lines to one file while they are moved: every line whole, none lost, each writer's in order.
#include "tests/programs/program.h"

namespace {
void append(int fd, int me, Go& go, int parties) {
  (void)parties;
  for (int i = 0; !go.done(); i++) {
    char line[64];
    int length = snprintf(line, sizeof line, "%d %06d %s\n", me, i, "padding padding padding");
    CHECK_EQ(write(fd, line, static_cast<size_t>(length)), length);
  }
}
}  // namespace

int main() {
  int fd = open("appended", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
  CHECK(fd >= 0);
  pid_t pids[2];
  for (int i = 0; i < 2; i++)
    pids[i] = child([&] {
      int own = open("appended", O_WRONLY | O_APPEND);
      Go go(3);
      append(own, i + 1, go, 3);
      return 0;
    });
  {
    Go go(3);
    append(fd, 0, go, 3);
  }
  for (pid_t pid : pids) EXPECT_END(pid, 0);
  FILE* file = fopen("appended", "r");
  CHECK(file);
  char line[100];
  int next[3] = {};
  while (fgets(line, sizeof line, file)) {
    int who, number;
    char rest[100];
    if (sscanf(line, "%d %d %60[^\n]", &who, &number, rest) != 3) FAIL("a broken line: %s", line);
    CHECK(who >= 0 && who < 3);
    CHECK_EQ(number, next[who]++);
    CHECK(strcmp(rest, "padding padding padding") == 0);
  }
  CHECK(next[0] > 0 && next[1] > 0 && next[2] > 0);
  fclose(file);
  CHECK_EQ(unlink("appended"), 0);
  return 0;
}
