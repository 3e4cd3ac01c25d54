// SPDX-License-Identifier: Apache-2.0
// getdents64 goes on where it stopped, also over moves and with a tiny buffer. A user would see `ls`, `find` or `rm -r`
// miss files, or list some twice.
#include <dirent.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/programs/program.h"

namespace {
constexpr int kFiles = 60;
}

int main() {
  CHECK_EQ(mkdir("dir", 0700), 0);
  int dir = open("dir", O_RDONLY | O_DIRECTORY);
  CHECK(dir >= 0);
  char name[20];
  for (int i = 0; i < kFiles; i++) {
    snprintf(name, sizeof name, "f%d", i);
    close(openat(dir, name, O_WRONLY | O_CREAT, 0600));
  }
  for (int round = 0; round < 2; round++) {
    bool seen[kFiles] = {};
    int count = 0, calls = 0;
    alignas(dirent64) char buffer[100];
    CHECK_EQ(lseek(dir, 0, SEEK_SET), 0);
    for (long got; (got = syscall(SYS_getdents64, dir, buffer, sizeof buffer)) != 0;) {
      CHECK(got > 0);
      for (long at = 0; at < got;) {
        const char* entry = buffer + at;  // an entry is as long as its name needs
        const char type = entry[offsetof(dirent64, d_type)], *own = entry + offsetof(dirent64, d_name);
        unsigned short length;
        memcpy(&length, entry + offsetof(dirent64, d_reclen), sizeof length);
        at += length;
        if (own[0] == '.') continue;
        CHECK(type == DT_REG || type == DT_UNKNOWN);
        int number = atoi(own + 1);
        CHECK(number < kFiles && !seen[number]);
        seen[number] = true;
        count++;
      }
      if (++calls == 10) ready_and_wait();
    }
    CHECK_EQ(count, kFiles);
    CHECK_EQ(syscall(SYS_getdents64, dir, buffer, sizeof buffer), 0);
    CHECK_EQ(lseek(dir, 0, SEEK_SET), 0);
    CHECK_ERRNO(syscall(SYS_getdents64, dir, buffer, 10), EINVAL);
    CHECK_ERRNO(syscall(SYS_getdents64, dir, 8, 4096), EFAULT);
    CHECK_ERRNO(syscall(SYS_getdents64, 0, buffer, sizeof buffer), ENOTDIR);
  }
  for (int i = 0; i < kFiles; i++) {
    snprintf(name, sizeof name, "f%d", i);
    CHECK_EQ(unlinkat(dir, name, 0), 0);
  }
  CHECK_EQ(rmdir("dir"), 0);
  char buffer[100];  // a directory that is gone has nothing left
  CHECK_ERRNO(syscall(SYS_getdents64, dir, buffer, sizeof buffer), ENOENT);
  return 0;
}
