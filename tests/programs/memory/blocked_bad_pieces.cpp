// SPDX-License-Identifier: Apache-2.0
// Moved while a readv waits whose second piece cannot be written: EFAULT, and what it did not take stays in the pipe.
// So it does after a read into such memory alone.
#include <sys/mman.h>
#include <sys/uio.h>

#include "tests/programs/program.h"

int main() {
  int pair[2];
  CHECK_EQ(pipe(pair), 0);
  void* closed = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(closed != MAP_FAILED);
  char text[10] = {};
  iovec pieces[2] = {{text, 4}, {closed, 100}};
  const pid_t helper = after_go([&] { write_all(pair[1], "abcdef", 6); });
  announce("blocked");
  CHECK_ERRNO(readv(pair[0], pieces, 2), EFAULT);
  CHECK_ERRNO(read(pair[0], closed, 100), EFAULT);
  EXPECT_END(helper, 0);
  CHECK_EQ(read(pair[0], text, sizeof text), 6);
  CHECK_EQ(memcmp(text, "abcdef", 6), 0);
  return 0;
}
