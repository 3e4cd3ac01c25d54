// SPDX-License-Identifier: Apache-2.0
// exec of scripts (the kernel finds the interpreter), by descriptor, and with large arguments and environments.
#include <sys/stat.h>

#include "tests/programs/program.h"

extern char** environ;

int main() {
  int fd = open("script", O_WRONLY | O_CREAT | O_TRUNC, 0755);
  CHECK(fd >= 0);
  static const char kScript[] = "#!/bin/sh\n[ \"$1\" = 'two words' ] && [ ${#2} = 100000 ] && exit 9\nexit 1\n";
  write_all(fd, kScript, sizeof kScript - 1);
  close(fd);
  static char large[100'001];
  memset(large, 'x', 100'000);
  for (int round = 0; round < 2; round++) {
    EXPECT_END(child([] { return execl("./script", "script", "two words", large, nullptr); }), 9);
    EXPECT_END(child([] {
                 int self = open("/bin/sh", O_PATH | O_CLOEXEC);
                 const char* arguments[] = {"sh", "-c", "test \"$FOO\" = bar && exit 8", nullptr};
                 const char* environment[] = {"FOO=bar", nullptr};
                 return fexecve(self, const_cast<char**>(arguments), const_cast<char**>(environment));
               }),
               8);
    EXPECT_END(child([] {
                 static char huge[200'000];
                 memset(huge, 'y', sizeof huge - 1);  // longer than one argument may be
                 CHECK_ERRNO(execl("/bin/true", "true", huge, nullptr), E2BIG);
                 return 7;
               }),
               7);
    if (round == 0) ready_and_wait();
  }
  CHECK_EQ(unlink("script"), 0);
  return 0;
}
