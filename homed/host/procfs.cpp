// SPDX-License-Identifier: Apache-2.0
// What a guest reads about itself in /proc. Its identity is the deputy's, its memory, signals and CPU time are the
// guest's: so the text is composed of both and put into a memfd at home, whose descriptor the program gets.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>
#include <string_view>

#include "homed/host/proc.h"
#include "homed/host/visit.h"

namespace omig::host {
namespace {

// Mapping lists without what is the engine's.
std::string without_engine(const std::string& text) {
  std::string result;
  bool ours = false;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    end = end == std::string::npos ? text.size() : end + 1;
    char* dash = nullptr;
    const u64 start = strtoull(text.c_str() + at, &dash, 16);
    if (*dash == '-')
      ours = start >= kEngineBase && start < kEngineEnd;  // a mapping's first line; smaps has more below it
    if (!ours) result.append(text, at, end - at);
    at = end;
  }
  return result;
}

// Lines of /proc/PID/status that are about memory, state and signals; all others are about who the process is.
bool is_guests_line(std::string_view line) {
  static constexpr std::array kNames = {
      "Vm", "Rss", "HugetlbPages", "Threads:", "SigQ:", "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:"};
  return std::any_of(kNames.begin(), kNames.end(), [&](const char* name) { return line.starts_with(name); });
}

std::string merge_status(const std::string& home, const std::string& guest) {
  const auto key = [](const std::string& line) { return line.substr(0, line.find(':')); };
  std::map<std::string, std::string> guests;
  std::istringstream guest_lines(guest);
  for (std::string line; std::getline(guest_lines, line);) {
    if (is_guests_line(line)) guests[key(line)] = line;
  }
  std::string result;
  std::istringstream home_lines(home);
  for (std::string line; std::getline(home_lines, line);) {
    const auto other = guests.find(key(line));
    result += (other == guests.end() ? line : other->second) + "\n";
  }
  return result;
}

// Fields of /proc/PID/stat by their numbers in proc(5).
std::string merge_stat(const std::string& home, const std::string& guest) {
  const auto split = [](const std::string& text) {
    std::vector<std::string> fields;
    const auto close = text.rfind(')');
    if (close == std::string::npos) return fields;
    fields = {text.substr(0, text.find(' ')), text.substr(text.find('('), close - text.find('(') + 1)};
    std::istringstream rest(text.substr(close + 1));
    for (std::string field; rest >> field;) fields.push_back(field);
    return fields;
  };
  std::vector<std::string> own = split(home), away = split(guest);
  const auto guests_field = [](size_t number) {
    return (number >= 10 && number <= 15) || number == 20 || (number >= 23 && number <= 24) ||
           (number >= 26 && number <= 37 && number != 35) || (number >= 45 && number <= 51);
  };
  std::string result;
  for (size_t i = 0; i < own.size(); ++i) {
    result += (i < away.size() && guests_field(i + 1) ? away[i] : own[i]) + (i + 1 < own.size() ? " " : "\n");
  }
  return result;
}

}  // namespace

// Reads a small file as the deputy sees it. The thread must be in a call.
std::string Visit::read_home_file(GuestThread& t, const std::string& path) {
  const wire::Reloc reloc{1, 0};
  const long fd = home_call(t, SYS_openat, {static_cast<u64>(AT_FDCWD), 0, O_RDONLY | O_CLOEXEC},
                            {reinterpret_cast<const u8*>(path.c_str()), path.size() + 1}, {&reloc, 1});
  if (fd < 0) return "";
  const wire::Out out{0, 65536, 1, 0, ~0u};
  std::string text;
  std::vector<u8> output;
  for (;;) {
    const long got = home_call(t, SYS_read, {static_cast<u64>(fd), 0, out.bytes}, {}, {&reloc, 1}, {&out, 1}, &output);
    if (got <= 0) break;
    text.append(reinterpret_cast<const char*>(output.data()) + sizeof(u32), static_cast<size_t>(got));
  }
  home_call(t, SYS_close, {static_cast<u64>(fd)});
  return text;
}

bool Visit::special_open(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  const bool at = n.data.nr == SYS_openat;
  GuestMemory memory(t->guest->pid);
  std::string path;
  if (memory.read_string(GuestAddr{at ? n.data.args[1] : n.data.args[0]}, &path, 4096) != 0) return false;
  if (!path.starts_with("/proc/")) return false;
  const std::string own = fmt::format("/proc/{}/", t->guest->home_pid),
                    task = fmt::format("/proc/self/task/{}/", t->home_tid);
  std::string rest;
  for (const std::string& prefix : {std::string("/proc/self/"), std::string("/proc/thread-self/"), own, task}) {
    if (path.starts_with(prefix)) rest = path.substr(prefix.size());
  }
  static constexpr std::array kOurs = {"maps", "smaps", "smaps_rollup", "statm", "status", "stat"};
  if (std::find(kOurs.begin(), kOurs.end(), rest) == kOurs.end()) return false;

  std::string text = read_file(fmt::format("/proc/{}/{}", t->guest->pid, rest), 64u << 20);
  begin_call(*t, false);
  if (rest == "maps" || rest == "smaps") text = without_engine(text);
  if (rest == "status") text = merge_status(read_home_file(*t, path), text);
  if (rest == "stat") text = merge_stat(read_home_file(*t, path), text);
  const u64 open_flags = at ? n.data.args[2] : n.data.args[1];
  const char name[] = "proc";
  const wire::Reloc name_reloc{0, 0};
  const long fd = home_call(*t, SYS_memfd_create, {0, (open_flags & O_CLOEXEC) != 0 ? MFD_CLOEXEC : 0u},
                            {reinterpret_cast<const u8*>(name), sizeof name}, {&name_reloc, 1});
  if (fd >= 0) {
    const wire::Reloc reloc{1, 0};
    home_call(*t, SYS_write, {static_cast<u64>(fd), 0, text.size()},
              {reinterpret_cast<const u8*>(text.data()), text.size()}, {&reloc, 1});
    home_call(*t, SYS_lseek, {static_cast<u64>(fd), 0, SEEK_SET});
  }
  end_call(*t);
  answer(n.id, fd);
  return true;
}

}  // namespace omig::host
