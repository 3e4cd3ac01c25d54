// SPDX-License-Identifier: Apache-2.0
// Moved while blocked in a write to a full pipe: every byte arrives once although a part was taken before the moves.
#include "tests/programs/program.h"

int main() {
  constexpr size_t kSize = 500'000;
  static unsigned char bytes[kSize];
  fill(bytes, kSize, 6);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t reader = after_go([&] {
    close(ends[1]);
    static unsigned char got[kSize + 1];
    size_t total = 0;
    for (ssize_t length; (length = read(ends[0], got + total, sizeof got - total)) > 0;)
      total += static_cast<size_t>(length);
    CHECK_EQ(total, kSize);
    CHECK(memcmp(got, bytes, kSize) == 0);
  });
  close(ends[0]);
  announce("blocked");
  CHECK_EQ(write(ends[1], bytes, kSize), kSize);  // natively one call writes it all
  close(ends[1]);
  EXPECT_END(reader, 0);
  return 0;
}
