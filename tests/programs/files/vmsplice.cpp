// SPDX-License-Identifier: Apache-2.0
// vmsplice gives pages of the program's memory to a pipe, also over moves: what lies in the pipe is what was there when
// it was given. A user would see garbage in what a program passes on without copying.
#include <sys/uio.h>

#include "tests/programs/program.h"

namespace {
alignas(4096) unsigned char data[12'288], received[12'288];
}

int main() {
  int ends[2];
  CHECK_EQ(pipe2(ends, O_NONBLOCK), 0);
  for (int round = 0; round < 2; round++) {
    fill(data, sizeof data, static_cast<unsigned long>(round));
    iovec pieces[2] = {{data + 8192, 4096}, {data, 100}};
    CHECK_EQ(vmsplice(ends[1], pieces, 2, 0), 4196);
    ready_and_wait();
    pieces[0] = {data + 4096, 4096};
    CHECK_EQ(vmsplice(ends[1], pieces, 1, SPLICE_F_GIFT), 4096);
    ready_and_wait();
    CHECK_EQ(read(ends[0], received, sizeof received), 8292);
    CHECK(memcmp(received, data + 8192, 4096) == 0 && memcmp(received + 4096, data, 100) == 0);
    CHECK(memcmp(received + 4196, data + 4096, 4096) == 0);
    pieces[0] = {data, sizeof data};
    while (vmsplice(ends[1], pieces, 1, SPLICE_F_NONBLOCK) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    while (read(ends[0], received, sizeof received) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
  }
  int null = open("/dev/null", O_WRONLY);
  iovec piece = {data, 10};
  CHECK_ERRNO(vmsplice(null, &piece, 1, 0), EBADF);
  return 0;
}
