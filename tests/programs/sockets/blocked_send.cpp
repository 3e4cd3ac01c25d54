// SPDX-License-Identifier: Apache-2.0
// Moved while send waits for room in a TCP connection's buffers, part of the data already on its way: a user would see
// bytes twice, bytes missing, or a count that is too small.
#include "tests/programs/network.h"

namespace {
constexpr size_t kSize = 24 << 20;
unsigned char data[kSize], received[1 << 16];
}  // namespace

int main() {
  int pair[2];
  tcp_pair(pair);
  fill(data, kSize, 7);
  unsigned long want = hash(data, kSize);
  pid_t reader = after_go([&] {
    close(pair[0]);
    unsigned long sum = hash(nullptr, 0);
    size_t total = 0;
    ssize_t got;
    while ((got = read(pair[1], received, sizeof received)) > 0)
      sum = hash(received, static_cast<size_t>(got), sum), total += static_cast<size_t>(got);
    CHECK_EQ(total, kSize);
    CHECK(sum == want);
  });
  close(pair[1]);
  announce("blocked");
  CHECK_EQ(send(pair[0], data, kSize, 0), kSize);
  CHECK_EQ(shutdown(pair[0], SHUT_WR), 0);
  EXPECT_END(reader, 0);
  return 0;
}
