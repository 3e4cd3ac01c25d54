// SPDX-License-Identifier: Apache-2.0
// Moved while sendfile waits for room in a pipe: every byte of the file arrives once, and the offset says how far it
// came. A user would see a broken download.
#include <sys/sendfile.h>

#include "tests/programs/program.h"

namespace {
constexpr size_t kSize = 700'000;
unsigned char data[kSize], received[kSize];
}  // namespace

int main() {
  fill(data, kSize, 11);
  int file = open("served", O_RDWR | O_CREAT | O_TRUNC, 0600), ends[2];
  CHECK(file >= 0);
  write_all(file, data, kSize);
  CHECK_EQ(pipe(ends), 0);
  pid_t reader = after_go([&] {
    close(ends[1]);
    read_all(ends[0], received, kSize);
    CHECK(memcmp(received, data, kSize) == 0);
    CHECK_EQ(read(ends[0], received, 1), 0);
  });
  close(ends[0]);
  CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
  announce("blocked");
  size_t sent = 0;
  while (sent < kSize) {
    ssize_t got = sendfile(ends[1], file, nullptr, kSize - sent);
    CHECK(got > 0);
    sent += static_cast<size_t>(got);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), sent);
  }
  CHECK_EQ(sendfile(ends[1], file, nullptr, 100), 0);
  close(ends[1]);
  EXPECT_END(reader, 0);
  CHECK_EQ(unlink("served"), 0);
  return 0;
}
