// SPDX-License-Identifier: Apache-2.0
// /proc/self/fd and fdinfo tell of every descriptor what it is, where it stands and how it was opened. A user would see
// `lsof`-like programs, or daemons that close what they do not know, go wrong.
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "tests/programs/program.h"

namespace {
void expect_link(int fd, const char* want_end) {
  char name[40], link[4096] = {};
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  CHECK(readlink(name, link, sizeof link - 1) > 0);
  size_t length = strlen(link), end = strlen(want_end);
  if (length < end || strcmp(link + length - end, want_end) != 0) FAIL("%s is %s, not ...%s", name, link, want_end);
}
long info(int fd, const char* key, int base) {
  char name[40], text[2000];
  snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
  slurp(name, text);
  const char* found = strstr(text, key);
  if (!found) FAIL("no %s in %s", key, text);
  return strtol(found + strlen(key), nullptr, base);
}
}  // namespace

int main() {
  int file = open("file", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600), event = eventfd(7, EFD_NONBLOCK);
  CHECK(file >= 0 && event >= 0);
  write_all(file, "0123456789", 10);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  struct stat status;
  CHECK_EQ(fstat(ends[0], &status), 0);
  char pipe_name[60];
  snprintf(pipe_name, sizeof pipe_name, "pipe:[%lu]", status.st_ino);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_EQ(lseek(file, 3 + round, SEEK_SET), 3 + round);
    expect_link(file, "/file");
    expect_link(ends[0], pipe_name);
    expect_link(ends[1], pipe_name);
    expect_link(event, "anon_inode:[eventfd]");
    CHECK_EQ(info(file, "pos:", 10), 3 + round);
    CHECK_EQ(info(file, "flags:", 8) & (O_ACCMODE | O_APPEND | O_CLOEXEC), O_RDWR | O_APPEND | O_CLOEXEC);
    CHECK_EQ(info(ends[1], "flags:", 8) & O_ACCMODE, O_WRONLY);
    CHECK_EQ(info(event, "eventfd-count:", 16), 7);
    char name[40];
    CHECK_ERRNO(readlink("/proc/self/fd/998", name, sizeof name), ENOENT);
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[0]);
    CHECK_EQ(lstat(name, &status), 0);
    CHECK_EQ(status.st_mode & 0777, 0500);
  }
  CHECK_EQ(unlink("file"), 0);
  return 0;
}
