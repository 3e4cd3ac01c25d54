// SPDX-License-Identifier: Apache-2.0
// The clocks of CPU time over moves: the process' and the thread's never go back, run while it computes, stand still
// while it sleeps, and the process' is at least the sum of its threads'. A user would see wrong figures in a profile.
#include "tests/programs/program.h"

namespace {
std::atomic<bool> stop{false};
std::atomic<double> other{0};

void* compute(void*) {
  static unsigned char block[1000];
  double last = 0;
  while (!stop) {
    fill(block, sizeof block, 2);
    double now = seconds(CLOCK_THREAD_CPUTIME_ID);
    if (now < last) FAIL("the thread's CPU clock went back from %.9f to %.9f", last, now);
    other = last = now;
  }
  return nullptr;
}
}  // namespace

int main() {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, compute, nullptr), 0);
  clockid_t others;
  CHECK_EQ(pthread_getcpuclockid(thread, &others), 0);
  double last_process = 0, last_own = 0, last_other = 0;
  {
    Go go;
    unsigned char block[1000];
    while (!go.done()) {
      fill(block, sizeof block, 3);
      double theirs = other, own = seconds(CLOCK_THREAD_CPUTIME_ID), process = seconds(CLOCK_PROCESS_CPUTIME_ID);
      double by_id = seconds(others);
      if (process < last_process) FAIL("the process' CPU clock went back from %.9f to %.9f", last_process, process);
      if (own < last_own) FAIL("the CPU clock went back from %.9f to %.9f", last_own, own);
      if (by_id < last_other) FAIL("the other's CPU clock went back from %.9f to %.9f", last_other, by_id);
      if (process < own + theirs - 0.002) FAIL("%.6f s are less than %.6f + %.6f s", process, own, theirs);
      last_process = process, last_own = own, last_other = by_id;
    }
  }
  CHECK(last_process > 0 && last_own > 0 && last_other > 0);
  stop = true;
  CHECK_EQ(pthread_join(thread, nullptr), 0);
  double before = seconds(CLOCK_PROCESS_CPUTIME_ID);
  usleep(200'000);
  double slept = seconds(CLOCK_PROCESS_CPUTIME_ID) - before;
  if (slept > 0.1) FAIL("a sleep of 0.2 s cost %.3f s", slept);
  timespec any = {1, 0};
  CHECK_ERRNO(clock_settime(CLOCK_PROCESS_CPUTIME_ID, &any), geteuid() == 0 ? EINVAL : EPERM);
  return 0;
}
