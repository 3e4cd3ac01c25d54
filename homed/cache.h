// SPDX-License-Identifier: Apache-2.0
// Directories of files that can be made again: kept within bounds by throwing the oldest away.
#pragma once

#include <string>

#include "lib/base/types.h"

namespace omig {

inline constexpr size_t kMostHashes = 4096;        // of $OMIG_DIR/file-hashes
inline constexpr u64 kMostFileBytes = 1ull << 30;  // of $OMIG_DIR/files

// Removes files of `directory`, those not modified for the longest time first, until at most so many of so many bytes
// together are left. Nothing happens to one that is open somewhere, but that its name is gone.
void keep_newest(const std::string& directory, size_t most_files, u64 most_bytes);

}  // namespace omig
