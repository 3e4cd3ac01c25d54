// SPDX-License-Identifier: Apache-2.0
// select with descriptors above 64, and above FD_SETSIZE with sets of the program's own making: the right bits come
// back and the others are cleared. A user would see a program with many connections serve the wrong one.
#include <sys/resource.h>
#include <sys/select.h>

#include "tests/programs/program.h"

int main() {
  rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  bool large = limit.rlim_max >= 4096;
  if (large && limit.rlim_cur < 2100) limit.rlim_cur = 2100;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  const int numbers[4] = {63, 64, 700, large ? 2047 : 900};
  int ends[4][2];
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(pipe(ends[i]), 0);
    CHECK_EQ(dup2(ends[i][0], numbers[i]), numbers[i]);
    close(ends[i][0]);
  }
  constexpr int kWords = 2048 / 64;
  unsigned long in[kWords], out[kWords];
  auto bit = [](unsigned long* set, int number) -> bool { return set[number / 64] >> (number % 64) & 1; };
  for (int round = 0; round < 16; round++) {
    if (round == 1 || round == 8) ready_and_wait();
    memset(in, 0, sizeof in);
    memset(out, 0, sizeof out);
    for (int number : numbers) in[number / 64] |= 1UL << (number % 64);
    out[ends[0][1] / 64] |= 1UL << (ends[0][1] % 64);
    for (int i = 0; i < 4; i++)
      if (round >> i & 1) write_all(ends[i][1], "x", 1);
    int want = __builtin_popcount(static_cast<unsigned>(round));
    timeval none = {0, 0};
    CHECK_EQ(select(numbers[3] + 1, reinterpret_cast<fd_set*>(in), reinterpret_cast<fd_set*>(out), nullptr, &none),
             want + 1);
    CHECK(bit(out, ends[0][1]));
    char byte;
    for (int i = 0; i < 4; i++) {
      CHECK_EQ(bit(in, numbers[i]), round >> i & 1);
      if (round >> i & 1) CHECK_EQ(read(numbers[i], &byte, 1), 1);
      in[numbers[i] / 64] &= ~(1UL << (numbers[i] % 64));
    }
    for (unsigned long word : in) CHECK_EQ(word, 0);
  }
  in[0] = 1UL << 62;
  CHECK_ERRNO(select(63, reinterpret_cast<fd_set*>(in), nullptr, nullptr, nullptr), EBADF);
  CHECK_ERRNO(select(-1, nullptr, nullptr, nullptr, nullptr), EINVAL);
  return 0;
}
