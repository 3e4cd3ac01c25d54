// SPDX-License-Identifier: Apache-2.0
#include "homed/cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

namespace omig {

void keep_newest(const std::string& directory, size_t most_files, u64 most_bytes) {
  struct Entry {
    i64 modified_ns;
    u64 bytes;
    std::string path;
  };
  std::vector<Entry> entries;
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(directory, ignored)) {
    struct stat st {};
    if (lstat(file.path().c_str(), &st) != 0 || !S_ISREG(st.st_mode)) continue;
    entries.push_back(
        {st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec, static_cast<u64>(st.st_size), file.path().string()});
  }
  std::ranges::sort(entries, std::greater(), &Entry::modified_ns);
  u64 bytes = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    bytes += entries[i].bytes;
    if (i >= most_files || bytes > most_bytes) unlink(entries[i].path.c_str());
  }
}

}  // namespace omig
