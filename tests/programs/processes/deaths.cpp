// SPDX-License-Identifier: Apache-2.0
// Children that die by every kind of signal: their parent sees which, whether it or they had moved.
#include <sys/resource.h>

#include "tests/programs/program.h"

namespace {
[[noreturn]] void die(int how) {
  rlimit none = {};
  setrlimit(RLIMIT_CORE, &none);
  switch (how) {
    case SIGABRT: abort();
    case SIGSEGV: asm volatile("movl $1, 16"); break;
    case SIGFPE:
      asm volatile("xor %%edx, %%edx\n xor %%ecx, %%ecx\n mov $1, %%eax\n div %%ecx" ::: "eax", "ecx", "edx");
      break;
    case SIGILL: asm volatile("ud2"); break;
    case SIGTRAP: asm volatile("int3"); break;
    case SIGALRM: alarm(1); break;
    default: kill(getpid(), how);
  }
  pause();
  _exit(1);
}
constexpr int kDeaths[] = {SIGABRT, SIGSEGV, SIGFPE,  SIGILL,  SIGTRAP, SIGALRM,
                           SIGKILL, SIGTERM, SIGUSR1, SIGPIPE, SIGHUP};
}  // namespace

int main() {
  // Away themselves (children of a guest), all at once so that the alarm costs one second only.
  ready_and_wait();
  pid_t pids[32];
  int count = 0;
  for (int how : kDeaths)
    pids[count++] = child([&] {
      die(how);
      return 0;
    });
  count = 0;
  for (int how : kDeaths) EXPECT_END(pids[count++], -how);
  // Moved by themselves.
  count = 0;
  for (int how : kDeaths)
    if (how != SIGALRM)
      pids[count++] = child([&] {
        ready_and_wait(static_cast<int>(sizeof kDeaths / sizeof *kDeaths) - 1);
        die(how);
        return 0;
      });
  count = 0;
  for (int how : kDeaths)
    if (how != SIGALRM) EXPECT_END(pids[count++], -how);
  // Killed from outside while asleep.
  pid_t sleeper = child([] {
    pause();
    return 0;
  });
  CHECK_EQ(kill(sleeper, SIGKILL), 0);
  EXPECT_END(sleeper, -SIGKILL);
  return 0;
}
