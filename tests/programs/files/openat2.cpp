// SPDX-License-Identifier: Apache-2.0
// openat2 keeps a path inside a directory (RESOLVE_*). A user would see a web server that serves files from outside
// its root, or no longer serves those within.
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace {
int open2(int directory, const char* path, unsigned long flags, unsigned long resolve, unsigned long mode = 0) {
  open_how how = {};
  how.flags = flags;
  how.resolve = resolve;
  how.mode = mode;
  return static_cast<int>(syscall(SYS_openat2, directory, path, &how, sizeof how));
}
}  // namespace

int main() {
  CHECK_EQ(mkdir("root", 0700), 0);
  CHECK_EQ(symlink("../secret", "root/up"), 0);
  CHECK_EQ(symlink("/file", "root/absolute"), 0);
  int secret = open("secret", O_WRONLY | O_CREAT, 0600), root = open("root", O_PATH | O_DIRECTORY);
  CHECK(secret >= 0 && root >= 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    int made = open2(root, "file", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, RESOLVE_BENEATH, 0640);
    CHECK(made >= 0);
    struct stat status;
    CHECK_EQ(fstat(made, &status), 0);
    CHECK_EQ(status.st_mode & 07777, 0640);
    CHECK_EQ(fcntl(made, F_GETFD), FD_CLOEXEC);
    close(made);
    CHECK_ERRNO(open2(root, "up", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(open2(root, "../secret", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    CHECK_ERRNO(open2(root, "absolute", O_RDONLY, RESOLVE_BENEATH), EXDEV);
    int inside = open2(root, "absolute", O_RDONLY, RESOLVE_IN_ROOT);
    CHECK(inside >= 0);
    close(inside);
    CHECK_ERRNO(open2(root, "up", O_RDONLY, RESOLVE_IN_ROOT), ENOENT);
    CHECK_ERRNO(open2(root, "absolute", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK_ERRNO(open2(root, "/proc/self/exe", O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
    CHECK_ERRNO(open2(root, "file", O_RDONLY, 1UL << 40), EINVAL);
    CHECK_ERRNO(open2(root, "file", O_RDONLY, 0, 0600), EINVAL);  // a mode without O_CREAT
    unsigned long larger[4] = {O_RDONLY, 0, 0, 1};
    CHECK_ERRNO(syscall(SYS_openat2, root, "file", larger, sizeof larger), E2BIG);
    larger[3] = 0;
    inside = static_cast<int>(syscall(SYS_openat2, root, "file", larger, sizeof larger));
    CHECK(inside >= 0);
    close(inside);
    CHECK_ERRNO(syscall(SYS_openat2, root, "file", larger, 8), EINVAL);
    CHECK_EQ(unlinkat(root, "file", 0), 0);
  }
  CHECK_EQ(unlink("root/up"), 0);
  CHECK_EQ(unlink("root/absolute"), 0);
  CHECK_EQ(rmdir("root"), 0);
  CHECK_EQ(unlink("secret"), 0);
  return 0;
}
