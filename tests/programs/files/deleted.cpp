// SPDX-License-Identifier: Apache-2.0
// A file deleted while it is open lives on until it is closed. A user would see a program fail whose log or temporary
// file has been removed.
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  int fd = open("gone", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  write_all(fd, "before", 6);
  CHECK_EQ(unlink("gone"), 0);
  struct stat first, status;
  CHECK_EQ(fstat(fd, &first), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK(status.st_ino == first.st_ino && status.st_nlink == 0);
    CHECK_EQ(status.st_size, 6 + 4 * round);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 6 + 4 * round);
    write_all(fd, "more", 4);
    char name[40], link[4096] = {}, text[40] = {};
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    CHECK(readlink(name, link, sizeof link - 1) > 0);
    const char* end = "/gone (deleted)";
    CHECK(strlen(link) > strlen(end) && strcmp(link + strlen(link) - strlen(end), end) == 0);
    int again = open(name, O_RDONLY);  // another open file of the same inode
    CHECK(again >= 0);
    CHECK_EQ(read(again, text, sizeof text), 10 + 4 * round);
    CHECK(memcmp(text, "beforemore", 10) == 0);
    CHECK_EQ(fstat(again, &status), 0);
    CHECK(status.st_ino == first.st_ino);
    close(again);
    CHECK_ERRNO(linkat(AT_FDCWD, name, AT_FDCWD, "back", AT_SYMLINK_FOLLOW), ENOENT);
    CHECK_ERRNO(stat("gone", &status), ENOENT);
  }
  return 0;
}
