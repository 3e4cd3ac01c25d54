// SPDX-License-Identifier: Apache-2.0
// A file that a program alone has mapped shared when it leaves, and that another process maps later: the program is
// brought home, and both see what the other writes.
#include <sys/mman.h>

#include "tests/programs/program.h"

namespace {
std::atomic<long>* map_numbers(int flags) {
  int fd = open("joined", O_RDWR | flags, 0600);
  CHECK(fd >= 0);
  CHECK_EQ(ftruncate(fd, 4096), 0);
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(memory != MAP_FAILED);
  CHECK_EQ(close(fd), 0);
  return static_cast<std::atomic<long>*>(memory);
}
}  // namespace

int main() {
  int start[2];
  CHECK_EQ(pipe(start), 0);
  pid_t pid = child([&] {
    char byte;
    read_all(start[0], &byte, 1);
    std::atomic<long>* numbers = map_numbers(0);
    long seen = numbers[0];
    for (int changes = 0; changes < 5; usleep(1000)) {
      if (numbers[0] != seen) changes++, seen = numbers[0];
    }
    numbers[1] = 1;
    return 0;
  });
  std::atomic<long>* numbers = map_numbers(O_CREAT | O_TRUNC);
  ready_and_wait();
  write_all(start[1], "s", 1);
  const double end = seconds() + 30;
  while (numbers[1] == 0 && seconds() < end) {
    numbers[0]++;
    usleep(1000);
  }
  CHECK_EQ(numbers[1].load(), 1);
  EXPECT_END(pid, 0);
  CHECK_EQ(unlink("joined"), 0);
  return 0;
}
