// SPDX-License-Identifier: Apache-2.0
// O_PATH descriptors name a file without opening it, and open it again through /proc/self/fd. A user would see a
// sandbox (bubblewrap, systemd) that no longer finds its files.
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  CHECK_EQ(mkdir("place", 0700), 0);
  CHECK_EQ(symlink("nowhere", "place/link"), 0);
  int file = open("place/file", O_RDWR | O_CREAT, 0600);
  write_all(file, "content", 7);
  close(file);
  int path = open("place/file", O_PATH | O_CLOEXEC), place = open("place", O_PATH);
  int link = open("place/link", O_PATH | O_NOFOLLOW);
  CHECK(path >= 0 && place >= 0 && link >= 0);
  ready_and_wait();
  char text[100] = {}, name[40];
  CHECK_ERRNO(read(path, text, 1), EBADF);
  CHECK_ERRNO(fchmod(path, 0644), EBADF);
  CHECK_ERRNO(lseek(path, 0, SEEK_SET), EBADF);
  CHECK(fcntl(path, F_GETFL) & O_PATH);
  struct stat status;
  CHECK_EQ(fstat(path, &status), 0);
  CHECK_EQ(status.st_size, 7);
  CHECK_EQ(fstatat(link, "", &status, AT_EMPTY_PATH), 0);
  CHECK(S_ISLNK(status.st_mode));
  CHECK_EQ(readlinkat(link, "", text, sizeof text), 7);
  CHECK(strcmp(text, "nowhere") == 0);
  CHECK_EQ(rename("place", "moved"), 0);
  snprintf(name, sizeof name, "/proc/self/fd/%d", path);
  CHECK_EQ(slurp(name, text), 7);
  CHECK(strcmp(text, "content") == 0);
  CHECK(readlink(name, text, sizeof text) > 11);
  CHECK(strstr(text, "/moved/file"));
  int again = openat(place, "file", O_RDWR);
  CHECK(again >= 0);
  CHECK_EQ(dup2(again, path), path);
  CHECK_EQ(fcntl(path, F_GETFL) & (O_PATH | O_ACCMODE), O_RDWR);
  CHECK_EQ(fchdir(place), 0);
  ready_and_wait();
  CHECK_EQ(pread(path, text, 7, 0), 7);
  CHECK_EQ(unlink("file"), 0);
  CHECK_EQ(unlinkat(place, "link", 0), 0);
  CHECK_EQ(chdir(".."), 0);
  CHECK_EQ(rmdir("moved"), 0);
  return 0;
}
