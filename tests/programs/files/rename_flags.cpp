// SPDX-License-Identifier: Apache-2.0
// renameat2: NOREPLACE keeps what is there, EXCHANGE swaps two names at once. A user would see a lost file after an
// update that was to be atomic.
#include <sys/stat.h>

#include "tests/programs/program.h"

namespace {
ino_t inode(const char* path) {
  struct stat status;
  CHECK_EQ(stat(path, &status), 0);
  return status.st_ino;
}
void make(const char* path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  CHECK(fd >= 0);
  close(fd);
}
}  // namespace

int main() {
  make("old");
  make("new");
  CHECK_EQ(mkdir("tree", 0700), 0);
  make("tree/leaf");
  int tree = open("tree", O_RDONLY | O_DIRECTORY);
  CHECK(tree >= 0);
  ino_t a = inode("old"), b = inode("new"), leaf = inode("tree/leaf");
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_ERRNO(renameat2(AT_FDCWD, "old", AT_FDCWD, "new", RENAME_NOREPLACE), EEXIST);
    CHECK_EQ(renameat2(AT_FDCWD, "old", AT_FDCWD, "new", RENAME_EXCHANGE), 0);
    CHECK(inode("old") == (round ? a : b) && inode("new") == (round ? b : a));
    CHECK_EQ(renameat2(tree, "leaf", AT_FDCWD, "fallen", RENAME_NOREPLACE), 0);
    CHECK(inode("fallen") == leaf);
    CHECK_EQ(renameat2(AT_FDCWD, "fallen", tree, "leaf", 0), 0);
    CHECK_EQ(renameat2(AT_FDCWD, "tree", AT_FDCWD, "old", RENAME_EXCHANGE), 0);  // a directory with a file
    CHECK(inode("old/leaf") == leaf);
    CHECK_EQ(renameat2(AT_FDCWD, "old", AT_FDCWD, "tree", RENAME_EXCHANGE), 0);
    CHECK_ERRNO(renameat2(AT_FDCWD, "old", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
    CHECK_ERRNO(renameat2(AT_FDCWD, "old", AT_FDCWD, "new", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    CHECK_ERRNO(rename("tree", "tree/inside"), EINVAL);
    CHECK_ERRNO(rename("tree", "old"), ENOTDIR);
    CHECK_ERRNO(rename("old", "tree"), EISDIR);
  }
  CHECK_EQ(unlinkat(tree, "leaf", 0), 0);
  CHECK_EQ(unlinkat(AT_FDCWD, "tree", AT_REMOVEDIR), 0);
  CHECK_EQ(unlink("old"), 0);
  CHECK_EQ(unlink("new"), 0);
  return 0;
}
