// SPDX-License-Identifier: Apache-2.0
// The other files of /proc/self: exe, cmdline, comm, environ, cwd, root, status, stat, statm, task, auxv, fd, limits.
#include <dirent.h>
#include <sys/auxv.h>

#include "tests/programs/program.h"

namespace {
struct Snapshot {
  char exe[300], cmdline[1000], environ_[20'000], cwd[4096], limits[4096];
  unsigned char auxv[1024];
  size_t auxv_length;
};

void take(Snapshot& s) {
  memset(&s, 0, sizeof s);
  CHECK(readlink("/proc/self/exe", s.exe, sizeof s.exe - 1) > 0);
  CHECK(readlink("/proc/self/cwd", s.cwd, sizeof s.cwd - 1) > 0);
  slurp("/proc/self/cmdline", s.cmdline);
  slurp("/proc/self/environ", s.environ_);
  slurp("/proc/self/limits", s.limits);
  char auxv[1024];
  s.auxv_length = slurp("/proc/self/auxv", auxv);
  memcpy(s.auxv, auxv, sizeof auxv);
}

int count_entries(const char* path) {
  DIR* directory = opendir(path);
  CHECK(directory);
  int count = 0;
  for (dirent* entry; (entry = readdir(directory));) count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

void check_numbers() {
  static char text[8192];
  unsigned long size, resident;
  slurp("/proc/self/statm", text);
  CHECK(sscanf(text, "%lu %lu", &size, &resident) == 2);
  CHECK(resident * 4096 > 20 << 20);  // what `big` below uses
  slurp("/proc/self/status", text);
  unsigned long kib = 0;
  CHECK(strstr(text, "VmRSS:") && sscanf(strstr(text, "VmRSS:"), "VmRSS: %lu kB", &kib) == 1);
  CHECK(kib > 20 << 10);
  CHECK(strstr(text, "Threads:\t2\n"));
  CHECK_EQ(count_entries("/proc/self/task"), 2);
  CHECK(count_entries("/proc/self/fd") < 10);
  slurp("/proc/self/stat", text);
  CHECK_EQ(atoi(text), getpid());
  CHECK(strrchr(text, ')')[2] == 'R');
}
}  // namespace

int main() {
  static Snapshot before, after;
  take(before);
  char* big = static_cast<char*>(malloc(25 << 20));
  fill(big, 25 << 20, 1);
  pthread_t thread;
  CHECK_EQ(pthread_create(
               &thread, nullptr,
               [](void*) -> void* {
                 pause();
                 return nullptr;
               },
               nullptr),
           0);
  for (int round = 0; round < 3; round++) {
    take(after);
    CHECK(strcmp(before.exe, after.exe) == 0 && strcmp(before.cwd, after.cwd) == 0);
    CHECK(memcmp(before.cmdline, after.cmdline, sizeof before.cmdline) == 0);
    CHECK(memcmp(before.environ_, after.environ_, sizeof before.environ_) == 0);
    CHECK(strcmp(before.limits, after.limits) == 0);
    CHECK(before.auxv_length == after.auxv_length && memcmp(before.auxv, after.auxv, before.auxv_length) == 0);
    check_numbers();
    if (round < 2) ready_and_wait();
  }
  CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_RANDOM) != 0);
  CHECK(big[0] != big[1] || big[1] != big[2]);
  return 0;
}
