// SPDX-License-Identifier: Apache-2.0
// A writable shared mapping of a file: such a program stays home, and what it writes is in the file.
#include <sys/mman.h>

#include "tests/programs/program.h"

int main() {
  int fd = open("shared", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  CHECK_EQ(ftruncate(fd, 8192), 0);
  auto* shared = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  CHECK(shared != MAP_FAILED);
  strcpy(shared, "before");
  ready_and_wait();
  strcpy(shared + 4096, "after");
  char text[10] = {};
  CHECK_EQ(pread(fd, text, 7, 0), 7);
  CHECK(strcmp(text, "before") == 0);
  CHECK_EQ(pread(fd, text, 6, 4096), 6);
  CHECK(strcmp(text, "after") == 0);
  CHECK_EQ(unlink("shared"), 0);
  return 0;
}
