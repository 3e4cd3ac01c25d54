// SPDX-License-Identifier: Apache-2.0
// Truncation, holes, allocation and copies inside the kernel (sendfile, splice, copy_file_range).
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "tests/programs/program.h"

int main() {
  constexpr size_t kSize = 300'000;
  static unsigned char bytes[kSize], back[kSize];
  int fd = open("first", O_RDWR | O_CREAT | O_TRUNC, 0600), to = open("second", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0 && to >= 0);
  for (int round = 0; round < 2; round++) {
    fill(bytes, kSize, static_cast<unsigned long>(round));
    CHECK_EQ(pwrite(fd, bytes, kSize, 0), kSize);
    if (round == 0) ready_and_wait();
    struct stat status;
    CHECK_EQ(ftruncate(fd, 100'000), 0);
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(status.st_size, 100'000);
    CHECK_EQ(truncate("first", 1 << 20), 0);
    CHECK_EQ(pread(fd, back, kSize, 0), kSize);
    CHECK(memcmp(back, bytes, 100'000) == 0);
    for (size_t i = 100'000; i < kSize; i++) CHECK_EQ(back[i], 0);
    CHECK_EQ(posix_fallocate(fd, 0, 2 << 20), 0);
    CHECK_EQ(fstat(fd, &status), 0);
    CHECK_EQ(status.st_size, 2 << 20);
    off_t at = 1000;
    CHECK_EQ(ftruncate(to, 0), 0);
    CHECK_EQ(lseek(to, 0, SEEK_SET), 0);
    CHECK_EQ(sendfile(to, fd, &at, 50'000), 50'000);
    CHECK_EQ(at, 51'000);
    loff_t from = 0, into = 50'000;
    ssize_t copied = copy_file_range(fd, &from, to, &into, 1000, 0);
    if (copied < 0)
      CHECK(errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP);
    else
      CHECK_EQ(copied, 1000);
    CHECK_EQ(pread(to, back, 50'000, 0), 50'000);
    CHECK(memcmp(back, bytes + 1000, 50'000) == 0);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    loff_t offset = 77;
    CHECK_EQ(splice(fd, &offset, ends[1], nullptr, 3000, 0), 3000);
    CHECK_EQ(offset, 3077);
    read_all(ends[0], back, 3000);
    CHECK(memcmp(back, bytes + 77, 3000) == 0);
    close(ends[0]);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(fdatasync(to), 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
    close(ends[1]);
  }
  CHECK_EQ(unlink("first"), 0);
  CHECK_EQ(unlink("second"), 0);
  return 0;
}
