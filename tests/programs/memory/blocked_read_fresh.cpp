// SPDX-License-Identifier: Apache-2.0
// Moved while reads wait whose memory nobody has touched yet: a fresh mapping, one that is reserved only, and a buffer
// half in one mapping, half in the next. The bytes arrive there, and what was not read stays zero.
#include <sys/mman.h>

#include "tests/programs/waits.h"

namespace {
constexpr size_t kPage = 4096;

char* map(size_t pages, int flags, int protection = PROT_READ | PROT_WRITE) {
  void* at = mmap(nullptr, pages * kPage, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  CHECK(at != MAP_FAILED);
  return static_cast<char*>(at);
}
void expect_zero(const char* from, size_t length) {
  for (size_t i = 0; i < length; i++) CHECK_EQ(from[i], 0);
}
}  // namespace

int main() {
  int pipes[3][2];
  for (auto& each : pipes) CHECK_EQ(pipe(each), 0);
  char* fresh = map(4, 0);
  char* reserved = map(64 << 10, MAP_NORESERVE);
  char* two = map(4, 0);
  CHECK_EQ(mprotect(two, 2 * kPage, PROT_READ | PROT_WRITE | PROT_EXEC), 0);  // so that there are two mappings
  static char text[2 * kPage];
  fill(text, sizeof text, 5);
  const pid_t helper = after_go([&] {
    for (auto& each : pipes) write_all(each[1], text, sizeof text);
  });
  pthread_t threads[] = {
      thread([&] { read_all(pipes[1][0], reserved + (32 << 10) * kPage - 7, sizeof text); }),
      thread([&] { read_all(pipes[2][0], two + kPage + 100, sizeof text); }),
  };
  announce("blocked");
  read_all(pipes[0][0], fresh + kPage, sizeof text);
  for (pthread_t each : threads) join(each);
  CHECK_EQ(memcmp(fresh + kPage, text, sizeof text), 0);
  CHECK_EQ(memcmp(reserved + (32 << 10) * kPage - 7, text, sizeof text), 0);
  CHECK_EQ(memcmp(two + kPage + 100, text, sizeof text), 0);
  expect_zero(fresh, kPage);
  expect_zero(fresh + 3 * kPage, kPage);
  expect_zero(reserved + (32 << 10) * kPage - 7 - 100, 100);
  expect_zero(two, kPage + 100);
  expect_zero(two + 3 * kPage + 100, kPage - 100);
  EXPECT_END(helper, 0);
  return 0;
}
