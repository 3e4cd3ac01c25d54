// SPDX-License-Identifier: Apache-2.0
#include "homed/host/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace omig::host {

std::string read_file(const std::string& path, size_t max_bytes) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char buffer[16384];
  while (text.size() < max_bytes) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  close(fd);
  return text;
}

namespace {

// Takes a number and the one character behind it off the line's beginning.
bool take_number(std::string_view* line, int base, char behind, u64* number) {
  const auto [next, code] = std::from_chars(line->data(), line->data() + line->size(), *number, base);
  const size_t used = static_cast<size_t>(next - line->data());
  if (code != std::errc{} || used == line->size() || *next != behind) return false;
  line->remove_prefix(used + 1);
  return true;
}

bool parse_maps_line(std::string_view text, MapsLine* line) {
  u64 major_number = 0, minor_number = 0;
  if (!take_number(&text, 16, '-', &line->start) || !take_number(&text, 16, ' ', &line->end) || text.size() < 5)
    return false;
  if (text[0] == 'r') line->prot |= PROT_READ;
  if (text[1] == 'w') line->prot |= PROT_WRITE;
  if (text[2] == 'x') line->prot |= PROT_EXEC;
  line->shared = text[3] == 's';
  text.remove_prefix(5);
  if (!take_number(&text, 16, ' ', &line->offset) || !take_number(&text, 16, ':', &major_number) ||
      !take_number(&text, 16, ' ', &minor_number) || !take_number(&text, 10, ' ', &line->inode))
    return false;
  line->device = makedev(static_cast<unsigned>(major_number), static_cast<unsigned>(minor_number));
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  constexpr std::string_view kDeleted = " (deleted)";
  line->deleted = text.size() > kDeleted.size() && text.ends_with(kDeleted);
  if (line->deleted) text.remove_suffix(kDeleted.size());
  line->path = text;
  return line->start < line->end;
}

}  // namespace

std::vector<MapsLine> read_maps(pid_t pid) {
  return parse_maps(read_file(fmt::format("/proc/{}/maps", pid), 64u << 20));
}

std::vector<MapsLine> parse_maps(std::string_view text) {
  std::vector<MapsLine> lines;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    MapsLine line;
    if (parse_maps_line(text.substr(0, end), &line)) lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<pid_t> read_tasks(pid_t pid) {
  std::vector<pid_t> tids;
  DIR* dir = opendir(fmt::format("/proc/{}/task", pid).c_str());
  if (dir == nullptr) return tids;
  while (const dirent* entry = readdir(dir)) {
    if (const int tid = atoi(entry->d_name); tid > 0) tids.push_back(tid);
  }
  closedir(dir);
  std::sort(tids.begin(), tids.end());
  if (const auto leader = std::find(tids.begin(), tids.end(), pid); leader != tids.end()) {
    std::rotate(tids.begin(), leader, leader + 1);
  }
  return tids;
}

namespace {

// The fields of /proc/PID/stat from number 3 on (see proc(5)); the name in parentheses may hold anything.
std::vector<std::string> stat_fields(pid_t pid, pid_t tid = 0) {
  const std::string text =
      read_file(tid == 0 ? fmt::format("/proc/{}/stat", pid) : fmt::format("/proc/{}/task/{}/stat", pid, tid));
  std::vector<std::string> fields;
  const auto close_paren = text.rfind(')');
  if (close_paren == std::string::npos) return fields;
  size_t at = close_paren + 2;
  while (at < text.size()) {
    auto next = text.find_first_of(" \n", at);
    if (next == std::string::npos) next = text.size();
    fields.push_back(text.substr(at, next - at));
    at = next + 1;
  }
  return fields;
}

u64 stat_number(const std::vector<std::string>& fields, size_t number) {
  return number - 3 < fields.size() ? strtoull(fields[number - 3].c_str(), nullptr, 10) : 0;
}

}  // namespace

std::optional<image::MmMap> read_mm(pid_t pid) {
  const auto fields = stat_fields(pid);
  if (fields.size() < 49) return std::nullopt;
  image::MmMap mm;
  mm.start_code = stat_number(fields, 26);
  mm.end_code = stat_number(fields, 27);
  mm.start_stack = stat_number(fields, 28);
  mm.start_data = stat_number(fields, 45);
  mm.end_data = stat_number(fields, 46);
  mm.start_brk = stat_number(fields, 47);
  mm.arg_start = stat_number(fields, 48);
  mm.arg_end = stat_number(fields, 49);
  mm.env_start = stat_number(fields, 50);
  mm.env_end = stat_number(fields, 51);
  mm.brk = mm.start_brk;
  return mm;
}

int open_status(pid_t pid, pid_t tid) {
  return open(fmt::format("/proc/{}/task/{}/status", pid, tid).c_str(), O_RDONLY | O_CLOEXEC);
}

std::optional<SignalMasks> read_masks(int status_fd) {
  char text[8192];
  const ssize_t got = pread(status_fd, text, sizeof text - 1, 0);
  if (got <= 0) return std::nullopt;
  text[got] = 0;
  SignalMasks masks;
  const struct {
    const char* name;
    u64* to;
  } wanted[] = {{"\nSigPnd:", &masks.pending},
                {"\nShdPnd:", &masks.shared_pending},
                {"\nSigBlk:", &masks.blocked},
                {"\nSigIgn:", &masks.ignored},
                {"\nSigCgt:", &masks.caught}};
  for (const auto& w : wanted) {
    const char* at = strstr(text, w.name);
    if (at == nullptr) return std::nullopt;
    *w.to = strtoull(at + strlen(w.name), nullptr, 16);
  }
  return masks;
}

pid_t inner_pid(pid_t tid) {
  const std::string text = read_file(fmt::format("/proc/{}/status", tid));
  const auto at = text.find("\nNSpid:");
  if (at == std::string::npos) return -1;
  const auto line_end = text.find('\n', at + 1);
  const auto tab = text.rfind('\t', line_end);
  return atoi(text.c_str() + tab + 1);
}

CpuTicks cpu_ticks(pid_t pid, pid_t tid) {
  const auto fields = stat_fields(pid, tid);
  return {stat_number(fields, 14), stat_number(fields, 15)};
}

u64 cpu_ms(pid_t pid) {
  const CpuTicks ticks = cpu_ticks(pid, 0);
  return (ticks.user + ticks.system) * 1000 / static_cast<u64>(sysconf(_SC_CLK_TCK));
}

pid_t parent_of(pid_t pid) { return static_cast<pid_t>(stat_number(stat_fields(pid), 4)); }

u64 rss_bytes(pid_t pid) { return stat_number(stat_fields(pid), 24) * kPageSize; }

uid_t owner_of(pid_t pid) {
  struct stat st {};
  return stat(fmt::format("/proc/{}", pid).c_str(), &st) == 0 ? st.st_uid : static_cast<uid_t>(-1);
}

u64 signalfd_mask(pid_t pid) {
  u64 mask = 0;
  const std::string directory = fmt::format("/proc/{}/fdinfo", pid);
  DIR* dir = opendir(directory.c_str());
  if (dir == nullptr) return 0;
  while (const dirent* entry = readdir(dir)) {
    const std::string text = read_file(directory + "/" + entry->d_name, 4096);
    if (const auto at = text.find("\nsigmask:"); at != std::string::npos)
      mask |= strtoull(text.c_str() + at + 9, nullptr, 16);
  }
  closedir(dir);
  return mask;
}

char task_state(pid_t pid) {
  const auto fields = stat_fields(pid);
  return fields.empty() || fields[0].empty() ? 0 : fields[0][0];
}

bool has_ended(pid_t pid, pid_t tid) {
  const auto fields = stat_fields(pid, tid);
  return fields.empty() || fields[0].empty() || fields[0][0] == 'Z' || fields[0][0] == 'X';
}

}  // namespace omig::host
