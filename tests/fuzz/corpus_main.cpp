// SPDX-License-Identifier: Apache-2.0
// The corpus without a fuzzer: corpus_main FOLDER gives every file in it, and every beginning of it, to the target.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/fuzz/fuzz.h"

int main(int argc, char** argv) {
  CLAIM(argc == 2);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const size_t step = bytes.size() / 200 + 1;
    for (size_t length = 0; length < bytes.size() + step; length += step) {
      // A copy of its own, so that sanitizers see every byte behind the end.
      const std::vector<omig::u8> beginning(bytes.begin(),
                                            bytes.begin() + static_cast<long>(std::min(length, bytes.size())));
      LLVMFuzzerTestOneInput(beginning.data(), beginning.size());
    }
    ++files;
  }
  CLAIM(files > 0);
  printf("%zu files\n", files);
  return 0;
}
