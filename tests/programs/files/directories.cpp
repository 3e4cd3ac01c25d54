// SPDX-License-Identifier: Apache-2.0
// Directories: listing over moves with telldir, rename, links, symbolic links, stat in all forms, times, modes.
#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/programs/program.h"

namespace {
constexpr int kFiles = 300;

void list_over_a_move() {
  DIR* directory = opendir("many");
  CHECK(directory);
  bool seen[kFiles] = {};
  int count = 0;
  long position = -1, position_at = 0;
  for (dirent* entry; (entry = readdir(directory));) {
    if (entry->d_name[0] == '.') continue;
    int number = atoi(entry->d_name + 4);
    CHECK(number >= 0 && number < kFiles && !seen[number]);
    seen[number] = true;
    if (++count == kFiles / 2) {
      ready_and_wait();
      position = telldir(directory);
      position_at = count;
    }
  }
  CHECK_EQ(count, kFiles);
  seekdir(directory, position);
  count = 0;
  for (dirent* entry; (entry = readdir(directory));) count += entry->d_name[0] != '.';
  CHECK_EQ(count, kFiles - position_at);
  closedir(directory);
}

void check_links() {
  struct stat a, b;
  CHECK_EQ(link("many/file7", "hard"), 0);
  CHECK_EQ(symlink("many/file7", "soft"), 0);
  CHECK_EQ(stat("hard", &a), 0);
  CHECK_EQ(stat("soft", &b), 0);
  CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_nlink == 2 && a.st_size == 7);
  CHECK_EQ(lstat("soft", &b), 0);
  CHECK(S_ISLNK(b.st_mode));
  char text[100] = {};
  CHECK_EQ(readlink("soft", text, sizeof text), 10);
  CHECK(strcmp(text, "many/file7") == 0);
  CHECK_EQ(rename("hard", "harder"), 0);
  CHECK_ERRNO(stat("hard", &a), ENOENT);
  struct statx extended;
  CHECK_EQ(statx(AT_FDCWD, "harder", 0, STATX_ALL, &extended), 0);
  CHECK_EQ(extended.stx_size, 7);
  timespec times[2] = {{1'000'000'000, 5}, {1'100'000'000, 7}};
  CHECK_EQ(utimensat(AT_FDCWD, "harder", times, 0), 0);
  CHECK_EQ(chmod("harder", 0640), 0);
  CHECK_EQ(stat("harder", &a), 0);
  CHECK_EQ(a.st_mtim.tv_sec, 1'100'000'000);
  CHECK_EQ(a.st_mtim.tv_nsec, 7);
  CHECK_EQ(a.st_mode & 07777, 0640);
  CHECK_EQ(access("harder", R_OK), 0);
  CHECK_EQ(unlink("harder"), 0);
  CHECK_EQ(unlink("soft"), 0);
}
}  // namespace

int main() {
  CHECK_EQ(mkdir("many", 0755), 0);
  for (int i = 0; i < kFiles; i++) {
    char name[40];
    snprintf(name, sizeof name, "many/file%d", i);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    CHECK(fd >= 0);
    write_all(fd, "content", 7);
    close(fd);
  }
  CHECK_ERRNO(mkdir("many", 0755), EEXIST);
  list_over_a_move();
  check_links();
  ready_and_wait();
  list_over_a_move();
  check_links();
  int directory = open("many", O_RDONLY | O_DIRECTORY);
  CHECK_ERRNO(rmdir("many"), ENOTEMPTY);
  for (int i = 0; i < kFiles; i++) {
    char name[40];
    snprintf(name, sizeof name, "file%d", i);
    CHECK_EQ(unlinkat(directory, name, 0), 0);
  }
  close(directory);
  CHECK_EQ(rmdir("many"), 0);
  return 0;
}
