// SPDX-License-Identifier: Apache-2.0
// pieces MIB: that much memory in pieces of 1 MiB with a hole behind each, every page with a content of its own, looked
// through again and again. Too small each to be prepared before a freeze: all of it is needed when the pages arrive.
#include <sys/mman.h>

#include "tests/programs/program.h"

static constexpr size_t kPiece = 1 << 20, kPage = 4096;

int main(int argc, char** argv) {
  const size_t count = argc == 2 ? static_cast<size_t>(atoi(argv[1])) : 16;
  auto** pieces = static_cast<unsigned long**>(calloc(count, sizeof(unsigned long*)));
  for (size_t i = 0; i < count; i++) {
    auto* room =
        static_cast<char*>(mmap(nullptr, kPiece + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(room != MAP_FAILED);
    CHECK_EQ(munmap(room + kPiece, kPage), 0);
    pieces[i] = reinterpret_cast<unsigned long*>(room);
    for (size_t at = 0; at < kPiece; at += kPage) pieces[i][at / sizeof(unsigned long)] = i * kPiece + at + 1;
  }
  const auto look_through = [&](size_t i) {
    for (size_t at = 0; at < kPiece; at += kPage) CHECK_EQ(pieces[i][at / sizeof(unsigned long)], i * kPiece + at + 1);
  };
  Go go;
  for (size_t i = 0; !go.done(); i++) look_through(i % count);
  for (size_t i = 0; i < count; i++) look_through(i);
  printf("%zu pieces as they were\n", count);
  return 0;
}
