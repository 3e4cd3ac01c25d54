// SPDX-License-Identifier: Apache-2.0
// A program whose file is deleted while it runs (an update) goes on over moves and says so in /proc/self/exe. A user
// would see a server die that is moved after its package has been updated.
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "tests/programs/program.h"

int main(int argc, char** argv) {
  if (argc == 1) {  // a copy of this program takes its place; it has no name any more when it begins
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open("copy", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    struct stat status;
    CHECK(from >= 0 && to >= 0 && fstat(from, &status) == 0);
    CHECK_EQ(sendfile(to, from, nullptr, static_cast<size_t>(status.st_size)), status.st_size);
    close(to);
    const int copy = open("copy", O_RDONLY | O_CLOEXEC);
    CHECK(copy >= 0 && unlink("copy") == 0);
    char* const again[] = {const_cast<char*>("copy"), const_cast<char*>("again"), nullptr};
    fexecve(copy, again, environ);
    FAIL("exec: %s", strerror(errno));
  }
  const char* end = "/copy (deleted)";
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    char link[4096] = {}, text[1 << 16];
    CHECK(readlink("/proc/self/exe", link, sizeof link - 1) > 0);
    CHECK(strlen(link) > strlen(end) && strcmp(link + strlen(link) - strlen(end), end) == 0);
    slurp("/proc/self/cmdline", text);
    CHECK(memcmp(text, "copy\0again\0", 11) == 0);
    slurp("/proc/self/maps", text);
    CHECK(strstr(text, end));
    int self = open("/proc/self/exe", O_RDONLY);
    CHECK_EQ(read(self, text, 4), 4);
    CHECK(memcmp(text, "\177ELF", 4) == 0);
    close(self);
  }
  CHECK(strcmp(argv[1], "again") == 0);
  return 0;
}
