// SPDX-License-Identifier: Apache-2.0
// exec from a thread that is not the leader: the other threads vanish, the new program has the leader's pid.
#include "tests/programs/program.h"

namespace {
char pid_text[16];

void* replace(void* program) {
  execl("/proc/self/exe", static_cast<char*>(program), "second", pid_text, nullptr);
  FAIL("exec: %s", strerror(errno));
}
void* sleep_forever(void*) {
  pause();
  return nullptr;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    CHECK_EQ(atoi(argv[2]), getpid());
    CHECK_EQ(gettid(), getpid());
    char status[4096];
    slurp("/proc/self/status", status);
    CHECK(strstr(status, "Threads:\t1\n") != nullptr);
    ready_and_wait();
    CHECK_EQ(atoi(argv[2]), getpid());
    return 23;
  }
  snprintf(pid_text, sizeof pid_text, "%d", getpid());
  pthread_t sleeper, replacer;
  CHECK_EQ(pthread_create(&sleeper, nullptr, sleep_forever, nullptr), 0);
  ready_and_wait();
  CHECK_EQ(pthread_create(&replacer, nullptr, replace, argv[0]), 0);
  pthread_join(replacer, nullptr);
  FAIL("still here");
}
