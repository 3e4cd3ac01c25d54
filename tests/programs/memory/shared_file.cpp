// SPDX-License-Identifier: Apache-2.0
// A writable shared mapping of a file that nobody else uses: the program moves, and whoever reads the file by a
// descriptor, after msync, or after the program's end finds what was written.
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {
char* map_shared(const char* name) {
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  CHECK_EQ(ftruncate(fd, 8192), 0);
  void* shared = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(shared != MAP_FAILED);
  CHECK_EQ(close(fd), 0);
  return static_cast<char*>(shared);
}

void expect(const char* name, const char* want, off_t at) {
  char text[10] = {};
  int fd = open(name, O_RDONLY);
  CHECK(fd >= 0);
  CHECK_EQ(pread(fd, text, 6, at), 6);
  if (strcmp(text, want) != 0) FAIL("%s has \"%s\" at %ld, not \"%s\"", name, text, static_cast<long>(at), want);
  CHECK_EQ(close(fd), 0);
}
}  // namespace

int main() {
  char* shared = map_shared("own");
  strcpy(shared, "before");
  ready_and_wait();
  strcpy(shared + 4096, "after1");
  expect("own", "after1", 4096);
  expect("own", "before", 0);
  ready_and_wait();
  strcpy(shared + 4096, "after2");
  CHECK_EQ(msync(shared, 8192, MS_SYNC), 0);
  ready_and_wait();
  CHECK(strcmp(shared + 4096, "after2") == 0);
  strcpy(shared, "after3");
  CHECK_EQ(munmap(shared, 8192), 0);
  ready_and_wait();
  expect("own", "after3", 0);
  expect("own", "after2", 4096);
  // The ends of a process: all of them leave the file as it was written.
  for (int how = 0; how < 3; how++) {
    pid_t pid = child([&] {
      char* mine = map_shared("childs");
      ready_and_wait();
      strcpy(mine + 4096, "childs");
      if (how == 1) raise(SIGTERM);
      if (how == 2) execl("/bin/true", "true", nullptr);
      return 0;
    });
    EXPECT_END(pid, how == 1 ? -SIGTERM : 0);
    expect("childs", "childs", 4096);
  }
  CHECK_EQ(unlink("own"), 0);
  CHECK_EQ(unlink("childs"), 0);
  return 0;
}
