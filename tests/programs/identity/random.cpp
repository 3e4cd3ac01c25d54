// SPDX-License-Identifier: Apache-2.0
// Random numbers: getrandom and /dev/urandom never repeat over moves or forks, and fill the whole buffer.
#include <sys/random.h>

#include "tests/programs/program.h"

int main() {
  static unsigned char blocks[6][4096];
  int used = 0;
  auto more = [&] { CHECK_EQ(getrandom(blocks[used++], 4096, 0), 4096); };
  more();
  ready_and_wait();
  more();
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  read_all(fd, blocks[used++], 4096);
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  EXPECT_END(child([&] {
               more();
               write_all(ends[1], blocks[used - 1], 4096);
               return 0;
             }),
             0);
  read_all(ends[0], blocks[used++], 4096);
  ready_and_wait();
  more();
  for (int i = 0; i < used; i++) {
    int zeros = 0;
    for (unsigned char each : blocks[i]) zeros += each == 0;
    CHECK(zeros < 100);
    for (int k = 0; k < i; k++) CHECK(memcmp(blocks[i], blocks[k], 64) != 0);
  }
  return 0;
}
