// SPDX-License-Identifier: Apache-2.0
// A thread ends the whole process while others are blocked and busy: the exit code is the process'.
#include "tests/programs/program.h"

int main() {
  auto start = [](void* (*body)(void*)) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, nullptr, body, nullptr), 0);
  };
  start([](void*) -> void* {
    pause();
    return nullptr;
  });
  start([](void*) -> void* {
    for (volatile long i = 0;;) i = i + 1;
  });
  start([](void*) -> void* {
    ready_and_wait();
    exit(37);
  });
  pause();
  FAIL("pause came back");
}
