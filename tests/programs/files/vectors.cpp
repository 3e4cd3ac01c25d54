// SPDX-License-Identifier: Apache-2.0
// readv, writev, preadv and pwritev with many and with empty pieces.
#include <sys/uio.h>

#include "tests/programs/program.h"

int main() {
  static char bytes[60'000], back[60'000];
  fill(bytes, sizeof bytes, 4);
  int fd = open("vectored", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  for (int round = 0; round < 2; round++) {
    iovec out[200], in[100];
    size_t at = 0;
    for (size_t i = 0; i < 200; at += out[i++].iov_len) out[i] = {bytes + at, i % 7 == 0 ? 0 : i};
    size_t total = at;
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(writev(fd, out, 200), total);
    CHECK_EQ(pwritev(fd, out, 3, 50'000), 3);
    memset(back, 0, sizeof back);
    at = 0;
    for (size_t i = 0; i < 100; at += in[i++].iov_len) in[i] = {back + at, total / 100 + 1};
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(readv(fd, in, 50), static_cast<ssize_t>(50 * (total / 100 + 1)));
    CHECK(memcmp(back, bytes, 50 * (total / 100 + 1)) == 0);
    CHECK_EQ(preadv(fd, in, 1, 50'000), 3);
    CHECK(memcmp(back, bytes, 3) == 0);
    CHECK_EQ(preadv2(fd, in, 1, 50'001, 0), 2);
    CHECK_EQ(readv(fd, in, 0), 0);
    volatile int too_few = -1;  // volatile: the compiler would refuse the plain call
    CHECK_ERRNO(readv(fd, in, too_few), EINVAL);
    out[1].iov_base = reinterpret_cast<void*>(8);
    CHECK_ERRNO(pwritev(fd, out + 1, 1, 0), EFAULT);
    CHECK_ERRNO(writev(987, out, 2), EBADF);
    if (round == 0) ready_and_wait();
  }
  CHECK_EQ(unlink("vectored"), 0);
  return 0;
}
