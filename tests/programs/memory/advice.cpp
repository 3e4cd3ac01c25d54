// SPDX-License-Identifier: Apache-2.0
// What madvise makes of a mapping stays so: not inherited by a child, inherited empty, not in a core. Also what is said
// while away, and what is taken back there.
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {
constexpr size_t kBytes = 16 * 4096;

char* area() {
  // A neighbour on each side, so that it never merges with another one.
  char* room = static_cast<char*>(mmap(nullptr, kBytes + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(room != MAP_FAILED);
  CHECK_EQ(mprotect(room + 4096, kBytes, PROT_READ | PROT_WRITE), 0);
  memset(room + 4096, 'x', kBytes);
  return room + 4096;
}

// How a child finds it: absent, empty, or as it is.
char in_child(char* area) {
  unsigned char resident[kBytes / 4096];
  int status = 0;
  pid_t pid = child([&] { return mincore(area, kBytes, resident) != 0 ? 'a' : area[5]; });
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK(WIFEXITED(status));
  return static_cast<char>(WEXITSTATUS(status));
}

bool not_dumped(const char* area) {
  static char text[1 << 20];
  slurp("/proc/self/smaps", text);
  char start[40];
  snprintf(start, sizeof start, "%lx-", reinterpret_cast<unsigned long>(area));
  const char* at = strstr(text, start);
  CHECK(at != nullptr);
  const char* flags = strstr(at, "VmFlags:");
  CHECK(flags != nullptr);
  const char* end = strchr(flags, '\n');
  const char* found = strstr(flags, " dd");
  return found != nullptr && found < end;
}

void check(char* absent, char* empty, char* undumped, bool still) {
  CHECK_EQ(in_child(absent), still ? 'a' : 'x');
  CHECK_EQ(in_child(empty), still ? 0 : 'x');
  CHECK_EQ(not_dumped(undumped), still);
  CHECK_EQ(absent[5], 'x');
  CHECK_EQ(empty[5], 'x');
  CHECK_EQ(undumped[5], 'x');
}

void advise(char* absent, char* empty, char* undumped) {
  CHECK_EQ(madvise(absent, kBytes, MADV_DONTFORK), 0);
  CHECK_EQ(madvise(empty, kBytes, MADV_WIPEONFORK), 0);
  CHECK_EQ(madvise(undumped, kBytes, MADV_DONTDUMP), 0);
}
}  // namespace

int main() {
  char *absent = area(), *empty = area(), *undumped = area();
  advise(absent, empty, undumped);
  ready_and_wait();
  check(absent, empty, undumped, true);
  char *later_absent = area(), *later_empty = area(), *later_undumped = area();
  advise(later_absent, later_empty, later_undumped);
  ready_and_wait();
  check(absent, empty, undumped, true);
  check(later_absent, later_empty, later_undumped, true);
  CHECK_EQ(madvise(absent, kBytes, MADV_DOFORK), 0);
  CHECK_EQ(madvise(empty, kBytes, MADV_KEEPONFORK), 0);
  CHECK_EQ(madvise(undumped, kBytes, MADV_DODUMP), 0);
  ready_and_wait();
  check(absent, empty, undumped, false);
  check(later_absent, later_empty, later_undumped, true);
  return 0;
}
