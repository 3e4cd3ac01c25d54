// SPDX-License-Identifier: Apache-2.0
// Odd corners of files: exclusive creation, truncation at open, extended attributes, ownership, realpath,
// mkstemp, statfs and the devices in /dev.
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "tests/programs/program.h"

int main() {
  struct statfs before, after;
  CHECK_EQ(statfs(".", &before), 0);
  ready_and_wait();
  CHECK_EQ(statfs(".", &after), 0);
  CHECK_EQ(before.f_type, after.f_type);
  CHECK_EQ(memcmp(&before.f_fsid, &after.f_fsid, sizeof before.f_fsid), 0);
  char name[] = "file-XXXXXX";
  int fd = mkstemp(name);
  CHECK(fd >= 0);
  CHECK_ERRNO(open(name, O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
  CHECK_ERRNO(open("no/such/directory", O_CREAT | O_RDWR, 0600), ENOENT);
  CHECK_ERRNO(open(name, O_RDONLY | O_DIRECTORY), ENOTDIR);
  write_all(fd, "0123456789", 10);
  int truncating = open(name, O_RDWR | O_TRUNC);
  char byte;
  CHECK_EQ(pread(fd, &byte, 1, 0), 0);
  close(truncating);
  if (fsetxattr(fd, "user.omig", "value", 5, 0) == 0) {
    char value[20] = {};
    CHECK_EQ(getxattr(name, "user.omig", value, sizeof value), 5);
    CHECK(strcmp(value, "value") == 0);
    CHECK_EQ(flistxattr(fd, value, sizeof value), 10);
    CHECK_EQ(removexattr(name, "user.omig"), 0);
  } else {
    CHECK_EQ(errno, EOPNOTSUPP);
  }
  CHECK_ERRNO(getxattr(name, "user.none", &byte, 1), errno == EOPNOTSUPP ? EOPNOTSUPP : ENODATA);
  CHECK_EQ(chown(name, getuid(), getgid()), 0);
  char path[4096], cwd[4096];
  CHECK(realpath(name, path) && getcwd(cwd, sizeof cwd));
  CHECK(strncmp(path, cwd, strlen(cwd)) == 0);
  CHECK_EQ(faccessat(AT_FDCWD, name, X_OK, AT_EACCESS) == 0, 0);
  struct stat status;
  CHECK_EQ(stat("/dev/null", &status), 0);
  CHECK(S_ISCHR(status.st_mode) && major(status.st_rdev) == 1 && minor(status.st_rdev) == 3);
  int zero = open("/dev/zero", O_RDONLY), full = open("/dev/full", O_WRONLY);
  CHECK_EQ(read(zero, path, 4096), 4096);
  for (char each : path) CHECK_EQ(each, 0);
  CHECK_ERRNO(write(full, "x", 1), ENOSPC);
  CHECK_EQ(unlink(name), 0);
  return 0;
}
