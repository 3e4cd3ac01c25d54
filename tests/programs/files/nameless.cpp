// SPDX-License-Identifier: Apache-2.0
// O_TMPFILE: a file without a name gets one by linkat when it is complete. A user would see half-written files, or
// none.
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  int fd = open(".", O_TMPFILE | O_RDWR, 0640), never = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
  CHECK(fd >= 0 && never >= 0);
  write_all(fd, "half", 4);
  ready_and_wait();
  struct stat status;
  CHECK_EQ(fstat(fd, &status), 0);
  CHECK_EQ(status.st_nlink, 0);
  CHECK_EQ(status.st_mode & 07777, 0640);
  write_all(fd, " and whole", 10);
  char self[40];
  snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  CHECK_EQ(linkat(AT_FDCWD, self, AT_FDCWD, "complete", AT_SYMLINK_FOLLOW), 0);
  CHECK_EQ(fstat(fd, &status), 0);
  CHECK_EQ(status.st_nlink, 1);
  char text[40];
  CHECK_EQ(slurp("complete", text), 14);
  CHECK(strcmp(text, "half and whole") == 0);
  CHECK_ERRNO(linkat(AT_FDCWD, self, AT_FDCWD, "complete", AT_SYMLINK_FOLLOW), EEXIST);
  snprintf(self, sizeof self, "/proc/self/fd/%d", never);
  CHECK_ERRNO(linkat(AT_FDCWD, self, AT_FDCWD, "never", AT_SYMLINK_FOLLOW), ENOENT);
  ready_and_wait();
  int away = open(".", O_TMPFILE | O_WRONLY, 0600);
  CHECK(away >= 0);
  if (geteuid() == 0) {  // needs CAP_DAC_READ_SEARCH
    CHECK_EQ(linkat(away, "", AT_FDCWD, "second", AT_EMPTY_PATH), 0);
    CHECK_EQ(unlink("second"), 0);
  }
  CHECK_EQ(unlink("complete"), 0);
  return 0;
}
