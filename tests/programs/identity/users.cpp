// SPDX-License-Identifier: Apache-2.0
// A process that has given up root for good stays that user over moves, in what it may and in what it makes. A user
// would see a server that runs with more rights than it believes.
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  if (geteuid() != 0) {
    ready_and_wait();
    CHECK_ERRNO(setuid(getuid() + 1), EPERM);
    CHECK_ERRNO(setgroups(0, nullptr), EPERM);
    CHECK_EQ(setresuid(-1U, geteuid(), -1U), 0);
    return 0;
  }
  CHECK_EQ(mkdir("open", 0700), 0);
  CHECK_EQ(chmod("open", 0777), 0);
  int dir = open("open", O_RDONLY | O_DIRECTORY), secret = open("secret", O_WRONLY | O_CREAT, 0600);
  CHECK(dir >= 0 && secret >= 0);
  CHECK_EQ(fchdir(dir), 0);
  gid_t groups[2] = {4711, 4712};
  CHECK_EQ(setgroups(2, groups), 0);
  CHECK_EQ(setresgid(4701, 4701, 4701), 0);
  ready_and_wait();
  CHECK_EQ(setfsuid(4702), 0);  // file rights alone
  int made = open("by_fsuid", O_WRONLY | O_CREAT | O_EXCL, 0600);
  struct stat status;
  CHECK_EQ(fstat(made, &status), 0);
  CHECK(status.st_uid == 4702 && status.st_gid == 4701);
  CHECK_EQ(setfsuid(0), 4702);
  CHECK_EQ(setresuid(4700, 4700, 0), 0);
  CHECK_EQ(seteuid(0), 0);  // the saved one lets it back
  CHECK_EQ(setresuid(4700, 4700, 4700), 0);
  CHECK_ERRNO(seteuid(0), EPERM);
  CHECK_ERRNO(setgroups(0, nullptr), EPERM);
  uid_t r, e, s;
  CHECK_EQ(getresuid(&r, &e, &s), 0);
  CHECK(r == 4700 && e == 4700 && s == 4700);
  gid_t got[4];
  CHECK_EQ(getgroups(4, got), 2);
  CHECK(got[0] == 4711 && got[1] == 4712);
  made = open("by_user", O_WRONLY | O_CREAT | O_EXCL, 0666);
  CHECK_EQ(fstat(made, &status), 0);
  CHECK(status.st_uid == 4700 && status.st_gid == 4701);
  CHECK_EQ(fchown(made, -1U, 4712), 0);  // one of its own groups
  CHECK_ERRNO(fchown(made, -1U, 4713), EPERM);
  CHECK_ERRNO(openat(dir, "../secret", O_RDONLY), EACCES);
  CHECK_ERRNO(fchmodat(dir, "by_fsuid", 0644, 0), EPERM);
  CHECK_ERRNO(kill(1, 0), EPERM);
  CHECK_EQ(unlinkat(dir, "by_user", 0), 0);
  CHECK_EQ(unlinkat(dir, "by_fsuid", 0), 0);
  return 0;
}
