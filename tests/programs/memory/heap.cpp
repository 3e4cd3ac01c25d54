// SPDX-License-Identifier: Apache-2.0
// A heap of many blocks of all sizes, changed between and during the moves, keeps every byte.
#include "tests/programs/program.h"

namespace {

constexpr int kBlocks = 4000;
struct Block {
  unsigned char* data;
  size_t length;
  unsigned long seed;
};
Block blocks[kBlocks];
Random random_numbers{12345};

void renew(Block& block) {
  free(block.data);
  // Mostly small, now and then large enough for a mapping of its own.
  size_t limit = random_numbers.next() % 50 == 0 ? 300'000 : 2000;
  block.length = 1 + random_numbers.next() % limit;
  block.data = static_cast<unsigned char*>(malloc(block.length));
  CHECK(block.data);
  block.seed = random_numbers.next();
  fill(block.data, block.length, block.seed);
}

void check(const Block& block) {
  Random random{block.seed * 2654435761UL + 1};
  for (size_t i = 0; i < block.length; i++)
    if (block.data[i] != static_cast<unsigned char>(random.next() >> 32))
      FAIL("byte %zu of a block of %zu at %p differs", i, block.length, static_cast<void*>(block.data));
}

}  // namespace

int main() {
  for (Block& block : blocks) renew(block);
  Go go;
  while (!go.done())
    for (int i = 0; i < 50; i++) {
      Block& block = blocks[random_numbers.next() % kBlocks];
      check(block);
      renew(block);
    }
  for (Block& block : blocks) check(block), free(block.data);
  return 0;
}
