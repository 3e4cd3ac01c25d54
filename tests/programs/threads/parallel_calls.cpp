// SPDX-License-Identifier: Apache-2.0
// Eight threads make forwarded calls at the same time, each on its own file: no answer may reach a wrong thread.
// usage: parallel_calls [PAUSE], microseconds after each round, for tests that have more to do than to wait for a CPU
#include "tests/programs/program.h"

namespace {
std::atomic<bool> stop{false};
useconds_t pause_us = 0;

void* work(void* argument) {
  long me = reinterpret_cast<long>(argument);
  char name[32];
  snprintf(name, sizeof name, "file%ld", me);
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  long bytes = 0;
  for (long round = 0; !stop || round == 0; round++) {
    unsigned char block[700], back[700];
    size_t length = static_cast<size_t>(1 + (round * 37 + me * 101) % 700);
    fill(block, length, static_cast<unsigned long>(me * 100'000 + round));
    CHECK_EQ(pwrite(fd, block, length, bytes), length);
    CHECK_EQ(pread(fd, back, length, bytes), length);
    CHECK(memcmp(block, back, length) == 0);
    bytes += static_cast<long>(length);
    CHECK_EQ(lseek(fd, 0, SEEK_END), bytes);
    if (bytes > 200'000) {
      CHECK_EQ(ftruncate(fd, 0), 0);
      bytes = 0;
    }
    if (pause_us) usleep(pause_us);
  }
  close(fd);
  CHECK_EQ(unlink(name), 0);
  return nullptr;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) pause_us = static_cast<useconds_t>(atoi(argv[1]));
  pthread_t threads[8];
  for (long i = 0; i < 8; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, work, reinterpret_cast<void*>(i)), 0);
  {
    Go go;
    while (!go.done()) usleep(5000);
  }
  stop = true;
  for (pthread_t thread : threads) CHECK_EQ(pthread_join(thread, nullptr), 0);
  return 0;
}
