// SPDX-License-Identifier: Apache-2.0
// Writes of up to PIPE_BUF bytes are whole however many write at once. A user would see mixed lines in a log that
// several processes write to through one pipe.
#include <limits.h>

#include "tests/programs/program.h"

namespace {
constexpr size_t kRecord = 3000;
static_assert(kRecord <= PIPE_BUF);
struct Record {
  int writer, number;
  unsigned char filling[kRecord - 8];
};
}  // namespace

int main() {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  pid_t writers[2];
  for (int i = 0; i < 2; i++)
    writers[i] = child([&] {
      close(ends[0]);
      Go go(2);
      static Record record;
      record.writer = i;
      while (!go.done()) {
        fill(record.filling, sizeof record.filling, static_cast<unsigned long>(i * 1'000'000 + record.number));
        CHECK_EQ(write(ends[1], &record, sizeof record), sizeof record);
        record.number++;
      }
      return 0;
    });
  close(ends[1]);
  int next[2] = {};
  static Record record;
  static unsigned char want[kRecord - 8];
  for (ssize_t got; (got = read(ends[0], &record, sizeof record)) != 0;) {
    CHECK(got > 0);
    read_all(ends[0], reinterpret_cast<char*>(&record) + got, sizeof record - static_cast<size_t>(got));
    CHECK(record.writer == 0 || record.writer == 1);
    CHECK_EQ(record.number, next[record.writer]++);
    fill(want, sizeof want, static_cast<unsigned long>(record.writer * 1'000'000 + record.number));
    CHECK(memcmp(want, record.filling, sizeof want) == 0);
  }
  for (pid_t pid : writers) EXPECT_END(pid, 0);
  CHECK(next[0] > 0 && next[1] > 0);
  return 0;
}
