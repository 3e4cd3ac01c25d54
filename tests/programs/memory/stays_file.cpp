// SPDX-License-Identifier: Apache-2.0
// A file mapped while away is that file's mapping wherever the program is afterwards: by name in /proc/self/maps, with
// its written pages private, SIGBUS beyond its end; also when the mapping was cut to pieces; its bytes stay when its
// name is gone.
#include <setjmp.h>
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {
constexpr size_t kPage = 4096, kSize = 20 * kPage + 100, kMapped = 24 * kPage;
sigjmp_buf back;
void caught(int) { siglongjmp(back, 1); }

bool maps_say(const void* at, const char* name, const char* permissions) {
  FILE* maps = fopen("/proc/self/maps", "r");
  CHECK(maps != nullptr);
  char line[512];
  bool found = false;
  while (fgets(line, sizeof line, maps) != nullptr) {
    unsigned long start = 0, end = 0;
    char has[8] = {};
    if (sscanf(line, "%lx-%lx %7s", &start, &end, has) != 3) continue;
    const auto address = reinterpret_cast<unsigned long>(at);
    if (address < start || address >= end) continue;
    found = strstr(line, name) != nullptr && strcmp(has, permissions) == 0;
    if (!found) fprintf(stderr, "not %s: %s %s", name, has, strlen(line) > 73 ? line + 73 : line);
  }
  fclose(maps);
  return found;
}
}  // namespace

int main() {
  static unsigned char bytes[kSize];
  fill(bytes, kSize, 8);
  int fd = open("kept-file", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  write_all(fd, bytes, kSize);
  ready_and_wait();
  auto* rw = static_cast<unsigned char*>(mmap(nullptr, kMapped, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  auto* twice = static_cast<unsigned char*>(mmap(nullptr, 4 * kPage, PROT_READ, MAP_PRIVATE, fd, 8 * kPage));
  int reader = open("kept-file", O_RDONLY);
  auto* shared = static_cast<unsigned char*>(mmap(nullptr, 4 * kPage, PROT_READ, MAP_SHARED, reader, 0));
  CHECK(rw != MAP_FAILED && twice != MAP_FAILED && shared != MAP_FAILED);
  close(reader);
  close(fd);
  rw[3 * kPage] ^= 0xff;
  CHECK_EQ(mprotect(rw + 6 * kPage, 2 * kPage, PROT_READ), 0);
  CHECK_EQ(munmap(rw + 10 * kPage, 2 * kPage), 0);
  on_signal(SIGBUS, caught);
  for (int round = 0; round < 4; round++) {
    CHECK_EQ(rw[3 * kPage], bytes[3 * kPage] ^ 0xff);
    CHECK(memcmp(rw + 4 * kPage, bytes + 4 * kPage, 6 * kPage) == 0);
    CHECK(memcmp(rw + 12 * kPage, bytes + 12 * kPage, kSize - 12 * kPage) == 0);
    CHECK(memcmp(twice, bytes + 8 * kPage, 4 * kPage) == 0);
    CHECK(memcmp(shared, bytes, 4 * kPage) == 0);
    if (round < 2) {  // while it has a name
      CHECK(maps_say(rw, "kept-file", "rw-p") && maps_say(rw + 6 * kPage, "kept-file", "r--p"));
      CHECK(maps_say(rw + 19 * kPage, "kept-file", "rw-p") && maps_say(twice, "kept-file", "r--p"));
    }
    if (sigsetjmp(back, 1) == 0) {
      volatile unsigned char* beyond = rw + 22 * kPage;
      (void)*beyond;
      FAIL("no SIGBUS beyond the end of the file");
    }
    if (round == 1) CHECK_EQ(unlink("kept-file"), 0);
    ready_and_wait();
  }
  return 0;
}
