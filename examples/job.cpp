// SPDX-License-Identifier: Apache-2.0
// One of the programs that `jobs` starts: job NUMBER STEPS computes and prints a number.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: job NUMBER STEPS\n");
    return 2;
  }
  // A linear congruential generator: cannot be guessed by an optimiser, is the same everywhere.
  uint64_t state = std::strtoull(argv[1], nullptr, 10) * 0x9e3779b97f4a7c15u + 1;
  for (long left = std::atol(argv[2]); left > 0; --left) state = state * 6364136223846793005u + 1442695040888963407u;
  std::printf("%llu\n", static_cast<unsigned long long>(state));
  return 0;
}
