// SPDX-License-Identifier: Apache-2.0
// Files are home's, always: in the lab every node has a directory of its own in the same place (OMIG_LAB_PRIVATE), so
// a call that is executed on the visited node shows at once.
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  const char* place = getenv("OMIG_LAB_PRIVATE");
  char name[4096], text[200];
  snprintf(name, sizeof name, "%s/written-by-%d", place ? place : ".", getpid());
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  CHECK(fd >= 0);
  write_all(fd, "at home", 7);
  struct stat before, after;
  CHECK_EQ(stat(place ? place : ".", &before), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    slurp(name, text);
    CHECK(strcmp(text, "at home") == 0);
    CHECK_EQ(stat(place ? place : ".", &after), 0);
    CHECK(before.st_dev == after.st_dev && before.st_ino == after.st_ino);
    char second[4200];
    snprintf(second, sizeof second, "%s.%d", name, round);
    CHECK_EQ(rename(name, second), 0);
    EXPECT_END(child([&] { return execlp("mv", "mv", second, name, nullptr); }), 0);
  }
  CHECK_EQ(unlink(name), 0);
  return 0;
}
