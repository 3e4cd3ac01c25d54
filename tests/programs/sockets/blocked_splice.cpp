// SPDX-License-Identifier: Apache-2.0
// Moved while splice waits for data on a socket that it passes on to a pipe, and while sendfile waits for room in a
// socket: a user would see a proxy that drops or repeats bytes.
#include <sys/sendfile.h>

#include "tests/programs/network.h"

namespace {
constexpr size_t kSize = 4 << 20;
unsigned char data[kSize], received[kSize];
}  // namespace

int main() {
  int pair[2], ends[2];
  tcp_pair(pair);
  CHECK_EQ(pipe(ends), 0);
  pid_t writer = after_go([&] { write_all(pair[1], "through the pipe", 16); });
  announce("blocked");
  CHECK_EQ(splice(pair[0], nullptr, ends[1], nullptr, 4096, SPLICE_F_MOVE), 16);
  char text[20] = {};
  CHECK_EQ(read(ends[0], text, sizeof text), 16);
  CHECK(strcmp(text, "through the pipe") == 0);
  EXPECT_END(writer, 0);

  fill(data, kSize, 3);
  int file = open("data", O_RDWR | O_CREAT | O_TRUNC, 0600);
  write_all(file, data, kSize);
  int narrow[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, narrow), 0);
  pid_t reader = after_go([&] {
    read_all(narrow[1], received, kSize);
    CHECK(memcmp(received, data, kSize) == 0);
  });
  announce("blocked");
  off_t offset = 0;
  while (offset < static_cast<off_t>(kSize)) {
    off_t before = offset;
    ssize_t sent = sendfile(narrow[0], file, &offset, kSize - static_cast<size_t>(offset));
    CHECK(sent > 0);
    CHECK_EQ(offset, before + sent);
  }
  EXPECT_END(reader, 0);
  return 0;
}
