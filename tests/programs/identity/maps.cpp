// SPDX-License-Identifier: Apache-2.0
// /proc/self/maps tells the truth about the program: its code, heap, stack, mappings and libraries, in order and with
// names, the same at home and away.
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {
char text[1 << 18];
int variable = 5;

struct Entry {
  unsigned long from, to;
  char rights[5], path[300];
};

bool find(const void* address, Entry* entry) {
  unsigned long a = reinterpret_cast<unsigned long>(address);
  for (char* line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : nullptr) {
    entry->path[0] = 0;
    if (sscanf(line, "%lx-%lx %4s %*x %*s %*d%*[ ]%299[^\n]", &entry->from, &entry->to, entry->rights, entry->path) < 3)
      FAIL("a strange line: %.80s", line);
    if (entry->from <= a && a < entry->to) return true;
  }
  return false;
}

void check(void* anonymous, void* heap) {
  char exe[300] = {};
  CHECK(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
  slurp("/proc/self/maps", text);
  CHECK(strlen(text) < sizeof text - 1);
  unsigned long last = 0;
  for (char* line = text; *line; line = strchr(line, '\n') + 1) {
    unsigned long from, to;
    CHECK(sscanf(line, "%lx-%lx", &from, &to) == 2);
    CHECK(from >= last && to > from);
    last = to;
  }
  Entry entry;
  CHECK(find(reinterpret_cast<void*>(&check), &entry));
  CHECK(strcmp(entry.rights, "r-xp") == 0 && strcmp(entry.path, exe) == 0);
  CHECK(find(&variable, &entry));
  CHECK(strcmp(entry.rights, "rw-p") == 0 && strcmp(entry.path, exe) == 0);
  CHECK(find(heap, &entry));
  if (strcmp(entry.path, "[heap]") != 0) FAIL("the heap is called \"%s\"", entry.path);
  CHECK(find(&entry, &entry));
  if (strcmp(entry.path, "[stack]") != 0) FAIL("the stack is called \"%s\"", entry.path);
  CHECK(find(anonymous, &entry));
  CHECK(entry.from == reinterpret_cast<unsigned long>(anonymous) && entry.to - entry.from == 8192);
  CHECK(strcmp(entry.rights, "r--p") == 0 && entry.path[0] == 0);
  CHECK(find(reinterpret_cast<void*>(&printf), &entry));
  CHECK(strstr(entry.path, "/libc") && strcmp(entry.rights, "r-xp") == 0);
  CHECK(strstr(text, "[vdso]\n"));
}
}  // namespace

int main() {
  auto* area = static_cast<char*>(mmap(nullptr, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(area != MAP_FAILED);
  CHECK_EQ(mprotect(area + 4096, 8192, PROT_READ), 0);
  void* heap = malloc(100);
  check(area + 4096, heap);
  ready_and_wait();
  check(area + 4096, heap);
  ready_and_wait();
  check(area + 4096, heap);
  variable = 6;
  free(heap);
  return 0;
}
