// SPDX-License-Identifier: Apache-2.0
// /proc/self/task and /proc/thread-self: each thread under its own number and name. A user would see a program that
// names or counts its threads get somebody else's.
#include <dirent.h>
#include <sys/prctl.h>

#include "tests/programs/program.h"

namespace {
pthread_barrier_t barrier;
void meet() {
  int got = pthread_barrier_wait(&barrier);
  CHECK(got == 0 || got == PTHREAD_BARRIER_SERIAL_THREAD);
}
void check(const char* name) {
  char text[8192], want[60];
  ssize_t length = readlink("/proc/thread-self", text, sizeof text - 1);
  CHECK(length > 0);
  text[length] = 0;
  snprintf(want, sizeof want, "%d/task/%d", getpid(), gettid());
  CHECK(strcmp(text, want) == 0);
  slurp("/proc/thread-self/comm", text);
  text[strcspn(text, "\n")] = 0;
  if (strcmp(text, name) != 0) FAIL("thread %s is called %s", name, text);
  slurp("/proc/thread-self/status", text);
  snprintf(want, sizeof want, "\nTgid:\t%d\n", getpid());
  CHECK(strstr(text, want));
  snprintf(want, sizeof want, "\nPid:\t%d\n", gettid());
  CHECK(strstr(text, want));
}
void* thread(void* name) {
  CHECK_EQ(prctl(PR_SET_NAME, name), 0);
  for (int i = 0; i < 3; i++) meet(), check(static_cast<const char*>(name)), meet();
  return nullptr;
}
}  // namespace

int main() {
  CHECK_EQ(pthread_barrier_init(&barrier, nullptr, 3), 0);
  char first[] = "first", second[] = "second";
  pthread_t threads[2];
  CHECK_EQ(pthread_create(&threads[0], nullptr, thread, first), 0);
  CHECK_EQ(pthread_create(&threads[1], nullptr, thread, second), 0);
  CHECK_EQ(prctl(PR_SET_NAME, "leader"), 0);
  for (int i = 0; i < 3; i++) {
    if (i > 0) ready_and_wait();
    meet();
    check("leader");
    DIR* tasks = opendir("/proc/self/task");
    CHECK(tasks);
    int count = 0;
    for (dirent* entry; (entry = readdir(tasks));) count += entry->d_name[0] != '.';
    closedir(tasks);
    CHECK_EQ(count, 3);
    meet();
  }
  for (pthread_t each : threads) CHECK_EQ(pthread_join(each, nullptr), 0);
  return 0;
}
