// SPDX-License-Identifier: Apache-2.0
// atexit handlers and stdio buffers at the end of a program that is away, and its exit code.
#include "tests/programs/program.h"

int main() {
  atexit([] { printf("last handler\n"); });
  atexit([] { printf("first handler\n"); });
  printf("buffered before the moves\n");
  ready_and_wait();
  printf("buffered after the moves\n");
  for (int i = 0; i < 3000; i++) printf("%d ", i);
  printf("\n");
  return 42;
}
