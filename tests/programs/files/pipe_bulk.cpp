// SPDX-License-Identifier: Apache-2.0
// Megabytes through a pipe between parent and child, both being moved: every byte in order.
#include "tests/programs/program.h"

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t reader = child([&] {
    close(ends[1]);
    announce("busy", 2);
    Random random{7};
    static unsigned char got[50'000], want[50'000];
    size_t total = 0;
    while (true) {
      ssize_t length = read(ends[0], got, 1 + random.next() % sizeof got);
      CHECK(length >= 0);
      if (length == 0) break;
      for (ssize_t i = 0; i < length; i++)
        want[i] = static_cast<unsigned char>((total + static_cast<size_t>(i)) * 31 >> 3);
      CHECK(memcmp(got, want, static_cast<size_t>(length)) == 0);
      total += static_cast<size_t>(length);
    }
    wait_for_go();
    return total > 0 ? 0 : 2;
  });
  close(ends[0]);
  {
    Go go(2);
    Random random{8};
    static unsigned char bytes[30'000];
    size_t total = 0;
    while (!go.done()) {
      size_t length = 1 + random.next() % sizeof bytes;
      for (size_t i = 0; i < length; i++) bytes[i] = static_cast<unsigned char>((total + i) * 31 >> 3);
      write_all(ends[1], bytes, length);
      total += length;
    }
  }
  close(ends[1]);
  EXPECT_END(reader, 0);
  return 0;
}
