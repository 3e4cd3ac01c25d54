// SPDX-License-Identifier: Apache-2.0
// Shared memory that only one process uses is that process' own memory: it can travel. This says whether that is so.
//
// Such a mapping ("segment") is writable, or could be made so, and MAP_SHARED: anonymous, a memfd, a System V segment
// that nobody else can name, or a file. Others use it if they map it or have it open. To know, every process is looked
// at; one that we may not look at counts as a user if it bears the same name, as a child that was forked does.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/types.h"

namespace omig {

// What the host keeps of a segment while it is away is all in memory, on both sides, for the time of a move.
inline constexpr u64 kMostSegmentBytes = 256ull << 20;

struct SharedMapping {
  u64 start = 0, end = 0, offset = 0;
  u64 device = 0, inode = 0;  // as /proc/PID/maps has them
  std::string path;           // with " (deleted)", if so
  bool writable = true;       // could be made so with mprotect; false: another view of a segment
};

// Identity of the file behind it as stat(2) says it, which differs from what maps says on some file systems. Only what
// bears the name is asked, for the question may never be answered (a server that is down).
struct FileIdentity {
  u64 device = 0, inode = 0;
  std::string name;  // the last part of its path, without " (deleted)"
};
std::string name_of_file(std::string_view path);

struct Segment {
  FileIdentity file;
  bool named = false;  // a file that outlives the mapping: what is written to it must arrive there
};

// What is behind the mapping of process `pid`; nothing: no memory (a device, a file that was replaced under its name).
std::optional<Segment> segment_of(pid_t pid, const SharedMapping& mapping);

// Why these shared mappings of `pid` keep it at home, or nothing: they are its own.
std::optional<std::string> why_shared(pid_t pid, const std::vector<SharedMapping>& mappings);

// Of a process that is away: why what was its own when it left is so no longer. Somebody at home has opened a file that
// it maps, or attached a segment.
std::optional<std::string> why_shared_by_now(pid_t pid);

// The descriptors of `pid` that refer to one of the files.
std::vector<i32> descriptors_of(pid_t pid, const std::vector<FileIdentity>& files);

}  // namespace omig
