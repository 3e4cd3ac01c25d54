// SPDX-License-Identifier: Apache-2.0
#include "homed/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>

#include "preload/engine/head.h"

namespace omig {

namespace {

std::string proc_path(pid_t pid, const char* leaf) { return "/proc/" + std::to_string(pid) + "/" + leaf; }

template <class Number>
Number number_of(std::string_view text) {
  Number value{};
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

bool read_memory(pid_t pid, u64 address, void* data, size_t bytes) {
  const iovec local{data, bytes};
  const iovec remote{reinterpret_cast<void*>(address), bytes};
  return process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

}  // namespace

std::optional<std::string> read_text_file(const std::string& path, size_t max_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string text;
  char block[16384];
  ssize_t got = 0;
  while (text.size() < max_bytes && (got = read(fd, block, sizeof(block))) > 0)
    text.append(block, static_cast<size_t>(got));
  close(fd);
  if (got < 0) return std::nullopt;
  return text;
}

bool replace_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  errno = 0;  // a short write sets none
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int code = errno != 0 ? errno : ENOSPC;
  close(fd);
  if (!written) errno = code;
  return written && rename(fresh.c_str(), path.c_str()) == 0;
}

std::optional<ProcStat> parse_stat(std::string_view text) {
  // The name is in parentheses and may itself hold parentheses and spaces: the last ')' ends it.
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  ProcStat stat;
  stat.pid = number_of<pid_t>(text);
  stat.name = text.substr(open + 1, close - open - 1);
  std::string_view fields[50];
  size_t count = 3;  // numbered as in proc(5): 3 is the state
  text.remove_prefix(close + 1);
  while (count < 50) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\n')) text.remove_prefix(1);
    if (text.empty()) break;
    const size_t end = std::min(text.find_first_of(" \n"), text.size());
    fields[count++] = text.substr(0, end);
    text.remove_prefix(end);
  }
  if (count < 42) return std::nullopt;
  stat.state = fields[3].front();
  stat.ppid = number_of<pid_t>(fields[4]);
  const auto group = number_of<pid_t>(fields[5]), terminals_group = number_of<pid_t>(fields[8]);
  stat.leads_group = group == stat.pid;
  stat.foreground = number_of<i32>(fields[7]) != 0 && group == terminals_group;
  constexpr u32 kExiting = 4;  // PF_EXITING
  stat.exiting = (number_of<u32>(fields[9]) & kExiting) != 0;
  stat.cpu_ticks = number_of<u64>(fields[14]) + number_of<u64>(fields[15]);
  stat.threads = number_of<u32>(fields[20]);
  stat.start_ticks = number_of<u64>(fields[22]);
  stat.rss_bytes = number_of<u64>(fields[24]) * kPageSize;
  stat.rt_policy = number_of<u32>(fields[41]);
  return stat;
}

std::optional<ProcStat> read_stat(pid_t pid) {
  const auto text = read_text_file(proc_path(pid, "stat"));
  return text ? parse_stat(*text) : std::nullopt;
}

std::optional<ProcStat> read_thread_stat(pid_t pid, pid_t tid) {
  const auto text = read_text_file(proc_path(pid, "task/") + std::to_string(tid) + "/stat");
  return text ? parse_stat(*text) : std::nullopt;
}

double main_thread_cpu_ms(pid_t pid) {
  return number_of<double>(read_text_file(proc_path(pid, "schedstat")).value_or("")) / 1e6;
}

std::vector<pid_t> list_numbers(const std::string& directory) {
  std::vector<pid_t> numbers;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(directory.c_str()), closedir);
  if (!dir) return numbers;
  while (const dirent* entry = readdir(dir.get())) {
    pid_t number = 0;
    const char* const end = entry->d_name + std::strlen(entry->d_name);
    const auto [next, code] = std::from_chars(entry->d_name, end, number);
    if (code == std::errc{} && next == end) numbers.push_back(number);
  }
  return numbers;
}

std::vector<pid_t> list_pids() { return list_numbers("/proc"); }
std::vector<pid_t> list_tids(pid_t pid) { return list_numbers(proc_path(pid, "task")); }

std::string_view status_field(std::string_view status, std::string_view name) {
  while (!status.empty()) {
    const size_t end = std::min(status.find('\n'), status.size());
    std::string_view line = status.substr(0, end);
    status.remove_prefix(std::min(end + 1, status.size()));
    if (line.size() <= name.size() || !line.starts_with(name) || line[name.size()] != ':') continue;
    line.remove_prefix(name.size() + 1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    return line;
  }
  return {};
}

std::optional<MappingLine> parse_mapping_line(std::string_view line) {
  MappingLine m;
  u64 major_number = 0, minor_number = 0;
  const auto number = [&line](u64* value, int base, char behind) {
    const auto [next, code] = std::from_chars(line.data(), line.data() + line.size(), *value, base);
    const size_t used = static_cast<size_t>(next - line.data());
    if (code != std::errc{} || used == line.size() || *next != behind) return false;
    line.remove_prefix(used + 1);
    return true;
  };
  if (!number(&m.start, 16, '-') || !number(&m.end, 16, ' ') || line.size() < 5) return std::nullopt;
  m.writable = line[1] == 'w';
  m.shared = line[3] == 's';
  line.remove_prefix(5);
  if (!number(&m.offset, 16, ' ') || !number(&major_number, 16, ':') || !number(&minor_number, 16, ' '))
    return std::nullopt;
  const auto [next, code] = std::from_chars(line.data(), line.data() + line.size(), m.inode);
  if (code != std::errc{}) return std::nullopt;
  m.device = makedev(static_cast<unsigned>(major_number), static_cast<unsigned>(minor_number));
  line.remove_prefix(static_cast<size_t>(next - line.data()));
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  m.path = line;
  return m;
}

u64 stop_number(pid_t pid) {
  u64 sum = 1;
  for (const pid_t tid : list_tids(pid)) {
    const auto status = read_text_file(proc_path(pid, "task/") + std::to_string(tid) + "/status");
    if (status) sum += number_of<u64>(status_field(*status, "voluntary_ctxt_switches"));
  }
  return sum;
}

std::vector<DirectedSignals> directed_signals(pid_t pid) {
  constexpr u64 kNotFetched = 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1) | 1ull << (wire::kAbortSignal - 1);
  std::vector<DirectedSignals> found;
  for (const pid_t tid : list_tids(pid)) {
    const auto status = read_text_file(proc_path(pid, "task/") + std::to_string(tid) + "/status");
    if (!status) continue;
    const std::string_view field = status_field(*status, "SigPnd");
    u64 mask = 0;
    std::from_chars(field.data(), field.data() + field.size(), mask, 16);
    if ((mask & ~kNotFetched) != 0) found.push_back({tid, mask & ~kNotFetched});
  }
  return found;
}

std::map<pid_t, Scheduling> thread_scheduling(pid_t pid) {
  std::map<pid_t, Scheduling> found;
  for (const pid_t tid : list_tids(pid)) found.emplace(tid, scheduling_of(tid));
  return found;
}

std::vector<pid_t> namespace_pids(std::string_view status) {
  std::vector<pid_t> pids;
  std::string_view field = status_field(status, "NSpid");
  while (!field.empty()) {
    pids.push_back(number_of<pid_t>(field));
    const size_t end = field.find('\t');
    if (end == std::string_view::npos) break;
    field.remove_prefix(end + 1);
  }
  return pids;
}

std::optional<uid_t> effective_uid(std::string_view status) {
  const std::string_view field = status_field(status, "Uid");
  const size_t tab = field.find('\t');
  if (tab == std::string_view::npos) return std::nullopt;
  return number_of<uid_t>(field.substr(tab + 1));
}

std::optional<std::string> environment_variable(std::string_view block, std::string_view name) {
  while (!block.empty()) {
    const size_t end = std::min(block.find('\0'), block.size());
    const std::string_view entry = block.substr(0, end);
    block.remove_prefix(std::min(end + 1, block.size()));
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
      return std::string(entry.substr(name.size() + 1));
  }
  return std::nullopt;
}

std::string command_line(pid_t pid) {
  std::string text = read_text_file(proc_path(pid, "cmdline"), 4096).value_or("");
  while (!text.empty() && text.back() == '\0') text.pop_back();
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  if (!text.empty()) return text;
  const auto stat = read_stat(pid);
  return stat ? "[" + stat->name + "]" : "";
}

bool has_engine(pid_t pid) {
  u64 magic = 0;
  if (read_memory(pid, kEngineHeadAddress, &magic, sizeof(magic)))
    return (magic & kEngineHeadMarkMask) == kEngineHeadMark;
  if (errno != EPERM) return false;
  const auto maps = read_text_file(proc_path(pid, "maps"));
  return maps && maps->find("\n480000000000-") != std::string::npos;
}

std::optional<Anchor> read_anchor(pid_t pid) {
  Anchor anchor;
  if (!read_memory(pid, kAnchorAddress, &anchor, sizeof(anchor)) || anchor.magic != kAnchorMagic) return std::nullopt;
  anchor.node[sizeof(anchor.node) - 1] = '\0';
  anchor.came_home_for[sizeof(anchor.came_home_for) - 1] = '\0';
  return anchor;
}

}  // namespace omig
