// SPDX-License-Identifier: Apache-2.0
// /dev/stdin, /dev/fd/N and /proc/self/fd/N open the program's own files. A user would see `diff <(a) <(b)` or
// `cat /dev/stdin` read something else.
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  int file = open("input", O_RDWR | O_CREAT | O_TRUNC, 0600), ends[2];
  CHECK(file >= 0);
  write_all(file, "0123456789", 10);
  CHECK_EQ(lseek(file, 4, SEEK_SET), 4);
  CHECK_EQ(dup2(file, 0), 0);
  CHECK_EQ(pipe(ends), 0);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    char text[20] = {}, name[40];
    int in = open("/dev/stdin", O_RDONLY);  // a new open file, so a new offset
    CHECK(in >= 0);
    CHECK_EQ(read(in, text, sizeof text), 10);
    CHECK(memcmp(text, "0123456789", 10) == 0);
    CHECK_EQ(lseek(0, 0, SEEK_CUR), 4);
    close(in);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[1]);
    int out = open(name, O_WRONLY);
    CHECK(out >= 0);
    write_all(out, "by name", 7);
    close(out);
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[0]);
    in = open(name, O_RDONLY | O_NONBLOCK);
    CHECK(in >= 0);
    CHECK_EQ(read(in, text, 7), 7);
    CHECK(memcmp(text, "by name", 7) == 0);
    CHECK_ERRNO(read(in, text, 1), EAGAIN);
    close(in);
    CHECK_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
    CHECK_ERRNO(open("/dev/fd/997", O_RDONLY), ENOENT);
    struct stat a, b;
    CHECK_EQ(stat("/dev/fd/0", &a), 0);
    CHECK_EQ(fstat(0, &b), 0);
    CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    CHECK_EQ(WEXITSTATUS(system("exit $(cat /dev/stdin | wc -c)")), 10);  // it opens the file anew
    CHECK_EQ(WEXITSTATUS(system("exit $(cat | wc -c)")), 6);              // from where we stand in it
    CHECK_EQ(lseek(0, 0, SEEK_CUR), 10);
    CHECK_EQ(lseek(0, 4, SEEK_SET), 4);
  }
  CHECK_EQ(unlink("input"), 0);
  return 0;
}
