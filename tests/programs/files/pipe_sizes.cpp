// SPDX-License-Identifier: Apache-2.0
// Pipes have a size that can be changed, and tell how full they are. A user would see a pipeline stall whose parts
// count on room for what they write ahead.
#include <poll.h>
#include <sys/ioctl.h>

#include "tests/programs/program.h"

namespace {
int waiting(int fd) {
  int bytes = -1;
  CHECK_EQ(ioctl(fd, FIONREAD, &bytes), 0);
  return bytes;
}
}  // namespace

int main() {
  int ends[2];
  CHECK_EQ(pipe2(ends, O_NONBLOCK), 0);
  CHECK_EQ(fcntl(ends[0], F_SETPIPE_SZ, 4096 * 32), 4096 * 32);
  static char data[4096 * 40];
  fill(data, sizeof data, 2);
  for (int round = 0; round < 2; round++) {
    ready_and_wait();
    CHECK_EQ(fcntl(ends[1], F_GETPIPE_SZ), 4096 * 32);
    CHECK_EQ(write(ends[1], data, sizeof data), 4096 * 32);  // what there is room for
    CHECK_ERRNO(write(ends[1], data, 1), EAGAIN);
    CHECK_EQ(waiting(ends[0]), 4096 * 32);
    CHECK_ERRNO(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY);
    pollfd poll_for = {ends[1], POLLOUT, 0};
    CHECK_EQ(poll(&poll_for, 1, 0), 0);
    static char back[4096 * 32];
    CHECK_EQ(read(ends[0], back, 4096), 4096);
    CHECK_EQ(poll(&poll_for, 1, 0), 1);
    CHECK_ERRNO(write(ends[1], data, 4096 - 10) == 4096 - 10 ? write(ends[1], data, 4096) : 0, EAGAIN);
    ready_and_wait();
    CHECK_EQ(waiting(ends[0]), 4096 * 32 - 10);
    CHECK_EQ(read(ends[0], back, sizeof back), 4096 * 32 - 10);
    CHECK(memcmp(back, data + 4096, 4096 * 31) == 0 && memcmp(back + 4096 * 31, data, 4096 - 10) == 0);
    CHECK_ERRNO(read(ends[0], back, 1), EAGAIN);
    CHECK_EQ(waiting(ends[0]), 0);
  }
  CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 1), 4096);
  CHECK_ERRNO(fcntl(open("/dev/null", O_RDWR), F_GETPIPE_SZ), EBADF);
  CHECK_ERRNO(lseek(ends[0], 0, SEEK_CUR), ESPIPE);
  CHECK_ERRNO(pwrite(ends[1], data, 1, 0), ESPIPE);
  return 0;
}
