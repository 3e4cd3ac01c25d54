// SPDX-License-Identifier: Apache-2.0
#include "homed/sharing.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <map>

#include "homed/proc.h"
#include "lib/image/anchor.h"

namespace omig {

namespace {

std::string path_of(pid_t pid, const char* name) { return "/proc/" + std::to_string(pid) + "/" + name; }

std::string range_of(const SharedMapping& m) {
  char text[48];
  snprintf(text, sizeof text, "%llx-%llx", static_cast<unsigned long long>(m.start),
           static_cast<unsigned long long>(m.end));
  return text;
}

std::string described(const SharedMapping& m) {
  return "shared writable mapping " + range_of(m) + (m.path.empty() ? "" : " " + m.path);
}

bool has_no_name(std::string_view path) {
  return path.ends_with(" (deleted)") || path.starts_with("[anon_shmem") || path.starts_with("/memfd:");
}

template <typename Visit>
void for_each_mapping(std::string_view maps, const Visit& visit) {
  while (!maps.empty()) {
    const size_t end = std::min(maps.find('\n'), maps.size());
    if (const auto line = parse_mapping_line(maps.substr(0, end))) visit(*line);
    maps.remove_prefix(std::min(end + 1, maps.size()));
  }
}

bool maps_any(std::string_view maps, const std::vector<SharedMapping>& mappings) {
  bool any = false;
  for_each_mapping(maps, [&](const MappingLine& line) {
    any = any || std::ranges::any_of(mappings, [&](const SharedMapping& m) {
            return m.inode == line.inode && m.device == line.device;
          });
  });
  return any;
}

}  // namespace

std::string name_of_file(std::string_view path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return std::string(path.substr(path.rfind('/') + 1));
}

std::optional<Segment> segment_of(pid_t pid, const SharedMapping& m) {
  if (has_no_name(m.path)) return Segment{{m.device, m.inode, name_of_file(m.path)}, false};
  if (m.path.empty() || m.path[0] != '/') return std::nullopt;
  struct stat st {};
  if (stat((path_of(pid, "root") + m.path).c_str(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_ino != m.inode)
    return std::nullopt;
  return Segment{{st.st_dev, st.st_ino, name_of_file(m.path)}, true};
}

std::vector<i32> descriptors_of(pid_t pid, const std::vector<FileIdentity>& files) {
  std::vector<i32> found;
  const std::string directory = path_of(pid, "fd");
  for (const pid_t fd : list_numbers(directory)) {
    const std::string link = directory + "/" + std::to_string(fd);
    char target[PATH_MAX];
    const ssize_t length = readlink(link.c_str(), target, sizeof target);
    if (length <= 0) continue;
    const std::string name = name_of_file({target, static_cast<size_t>(length)});
    struct stat st {};
    const bool refers = std::ranges::any_of(files, [&](const FileIdentity& f) {
      return f.name == name && stat(link.c_str(), &st) == 0 && f.device == st.st_dev && f.inode == st.st_ino;
    });
    if (refers) found.push_back(fd);
  }
  return found;
}

std::optional<std::string> why_shared(pid_t pid, const std::vector<SharedMapping>& mappings) {
  std::vector<FileIdentity> files;
  std::map<std::pair<u64, u64>, u64> bytes;
  for (const SharedMapping& m : mappings) {
    if (m.path.starts_with("/SYSV") && !m.path.starts_with("/SYSV00000000"))
      return "shared memory that others can attach " + m.path;
    const auto segment = segment_of(pid, m);
    if (!segment) return described(m);
    files.push_back(segment->file);
    u64& most = bytes[{m.device, m.inode}];
    most = std::max(most, m.offset + m.end - m.start);
  }
  u64 total = 0;
  for (const auto& [file, each] : bytes) total += each;
  if (total > kMostSegmentBytes) return "shared memory of " + std::to_string(total >> 20) + " MiB";
  const std::string comm = read_text_file(path_of(pid, "comm")).value_or("");
  for (const pid_t other : list_pids()) {
    if (other == pid) continue;
    const auto maps = read_text_file(path_of(other, "maps"), 64 << 20);
    const bool hidden = !maps;
    const bool uses = hidden ? read_text_file(path_of(other, "comm")) == comm
                             : maps_any(*maps, mappings) || !descriptors_of(other, files).empty();
    if (uses) return "shared memory with process " + std::to_string(other);
  }
  return std::nullopt;
}

std::optional<std::string> why_shared_by_now(pid_t pid) {
  const auto maps = read_text_file(path_of(pid, "maps"), 64 << 20);
  std::vector<SharedMapping> reachable;
  for_each_mapping(maps.value_or(""), [&](const MappingLine& m) {
    const bool engines = m.start >= kEngineBase && m.start < kEngineEnd;
    const bool named = m.path.starts_with('/') && (!has_no_name(m.path) || m.path.starts_with("/SYSV"));
    if (m.shared && m.writable && named && !engines)
      reachable.push_back({m.start, m.end, m.offset, m.device, m.inode, std::string(m.path)});
  });
  if (reachable.empty()) return std::nullopt;
  return why_shared(pid, reachable);
}

}  // namespace omig
