// SPDX-License-Identifier: Apache-2.0
// The host's name and kernel are home's in every way to ask for them.
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "tests/programs/program.h"

namespace {
void check(const utsname& first) {
  utsname now;
  char name[256], file[256];
  CHECK_EQ(uname(&now), 0);
  CHECK(memcmp(&now, &first, sizeof now) == 0);
  CHECK_EQ(gethostname(name, sizeof name), 0);
  CHECK(strcmp(name, first.nodename) == 0);
  slurp("/proc/sys/kernel/hostname", file);
  file[strcspn(file, "\n")] = 0;
  CHECK(strcmp(file, first.nodename) == 0);
  FILE* program = popen("uname -n", "r");
  CHECK(program && fgets(name, sizeof name, program));
  name[strcspn(name, "\n")] = 0;
  CHECK(strcmp(name, first.nodename) == 0);
  CHECK_EQ(pclose(program), 0);
  if (const char* expected = getenv("OMIG_TEST_HOST")) CHECK(strcmp(expected, first.nodename) == 0);
}
}  // namespace

int main() {
  utsname first;
  CHECK_EQ(uname(&first), 0);
  check(first);
  ready_and_wait();
  check(first);
  ready_and_wait();
  check(first);
  struct sysinfo info;
  CHECK_EQ(sysinfo(&info), 0);
  CHECK(info.uptime > 0 && info.totalram > 0);
  CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
  return 0;
}
