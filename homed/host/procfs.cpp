// SPDX-License-Identifier: Apache-2.0
// What a guest reads about itself in /proc. Its identity is the deputy's, its memory, signals and CPU time are the
// guest's: so the text is composed of both and put into a memfd at home, whose descriptor the program gets.
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
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

// Copies of home's files bear the names of the files.
std::string with_home_names(const std::string& text, Guest& guest) {
  std::string result;
  std::istringstream lines(text);
  const std::lock_guard lock(guest.files_mutex);
  for (std::string line; std::getline(lines, line); result += line + "\n") {
    const size_t name_at = line.find('/');
    if (name_at == std::string::npos) continue;
    const std::vector<MapsLine> parsed = parse_maps(line + "\n");
    if (parsed.empty()) continue;
    const image::File* file = guest.files.find({parsed.front().device, parsed.front().inode});
    if (file != nullptr) line.replace(name_at, std::string::npos, file->path);
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
std::string merge_stat(const std::string& home, const std::string& guest, const image::CpuTime& own,
                       const image::CpuTime& children) {
  const auto split = [](const std::string& text) {
    std::vector<std::string> fields;
    const auto close = text.rfind(')');
    if (close == std::string::npos) return fields;
    fields = {text.substr(0, text.find(' ')), text.substr(text.find('('), close - text.find('(') + 1)};
    std::istringstream rest(text.substr(close + 1));
    for (std::string field; rest >> field;) fields.push_back(field);
    return fields;
  };
  const std::vector<std::string> fields = split(home), away = split(guest);
  const auto guests_field = [](size_t number) {
    return (number >= 10 && number <= 15) || number == 20 || (number >= 23 && number <= 24) ||
           (number >= 26 && number <= 37 && number != 35) || (number >= 45 && number <= 51);
  };
  const auto sum = [&](size_t at, u64 ns) {
    return std::to_string(strtoull(fields[at].c_str(), nullptr, 10) + to_ticks(ns));
  };
  std::string result;
  for (size_t i = 0; i < fields.size(); ++i) {
    std::string text = i < away.size() && guests_field(i + 1) ? away[i] : fields[i];
    if (i == 13) text = std::to_string(to_ticks(own.user_ns));
    if (i == 14) text = std::to_string(to_ticks(own.system_ns));
    if (i == 15) text = sum(i, children.user_ns);
    if (i == 16) text = sum(i, children.system_ns);
    result += text + (i + 1 < fields.size() ? " " : "\n");
  }
  return result;
}

// Reads a small file as the deputy sees it. The thread must be in a call.
// The entries of a getdents64 buffer that `ours` does not name.
std::vector<u8> without(const std::vector<u8>& list, const std::function<bool(std::string_view)>& ours) {
  constexpr size_t kLengthAt = 16, kNameAt = 19;  // of struct linux_dirent64
  std::vector<u8> kept;
  for (size_t at = 0; at + kNameAt < list.size();) {
    u16 length = 0;
    memcpy(&length, list.data() + at + kLengthAt, sizeof length);
    if (length <= kNameAt || at + length > list.size()) return list;
    const char* name = reinterpret_cast<const char*>(list.data() + at + kNameAt);
    if (!ours(std::string_view(name, strnlen(name, length - kNameAt))))
      kept.insert(kept.end(), list.begin() + static_cast<long>(at), list.begin() + static_cast<long>(at + length));
    at += length;
  }
  return kept;
}

}  // namespace

// A list of the program's own threads or descriptors: the ear and the links are not among them. Only a number of ours
// in it makes us ask which directory it is.
i64 Visit::hide_engine_entries(GuestThread& t, const u64 args[6], i64 bytes) {
  const Guest& guest = *t.guest;
  const auto number = [](std::string_view name) {
    const bool digits = !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    return digits ? std::stoll(std::string(name)) : -1;
  };
  const auto is_ear = [&](std::string_view name) { return number(name) == guest.ear_tid; };
  const auto is_link = [&](std::string_view name) {
    return number(name) >= guest.guard_first && number(name) <= guest.guard_last;
  };
  const wire::Reloc reloc{1, 0};
  if (bytes > 0 && static_cast<u64>(bytes) > std::min(args[2], syscalls::kMaxTransfer))
    return -EIO;  // a deputy's word, not the kernel's
  while (bytes > 0) {
    std::vector<u8> list(static_cast<size_t>(bytes));
    if (!read_memory(guest.pid, args[1], list.data(), list.size())) return bytes;
    if (without(list, [&](auto name) { return is_ear(name) || is_link(name); }).size() == list.size()) return bytes;
    const std::string path = read_home_link(t, static_cast<i32>(args[0]));
    if (!path.starts_with(fmt::format("/proc/{}/", guest.home_pid))) return bytes;
    std::vector<u8> kept = list;
    if (path.ends_with("/task")) kept = without(list, is_ear);
    if (path.ends_with("/fd") || path.ends_with("/fdinfo")) kept = without(list, is_link);
    if (!kept.empty())
      return write_memory(guest.pid, args[1], kept.data(), kept.size()) ? static_cast<i64>(kept.size()) : -EFAULT;
    // Nothing but ours in this piece: the next one, for an empty one would mean the end.
    const u32 room = static_cast<u32>(std::min<u64>(args[2], 65536));
    const wire::Out next{0, room, 1, 0, ~0u};
    std::vector<u8> output;
    bytes = home_call(t, SYS_getdents64, {args[0], 0, room}, {}, {&reloc, 1}, {&next, 1}, &output);
    if (bytes > 0 && !write_memory(guest.pid, args[1], output.data(), output.size())) return -EFAULT;
  }
  return bytes;
}

// What a descriptor at home stands for; empty: it is none.
std::string Visit::read_home_link(GuestThread& t, i32 fd) {
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  const wire::Reloc relocs[] = {{0, 0}, {1, 64}};
  const wire::Out out{64, 4096, 1, 0, ~0u};
  std::vector<u8> output;
  const long length =
      home_call(t, SYS_readlink, {0, 0, out.bytes}, {reinterpret_cast<const u8*>(link.c_str()), link.size() + 1},
                relocs, {&out, 1}, &output);
  if (length <= 0) return "";
  return {reinterpret_cast<const char*>(output.data()), output.size()};
}

std::string Visit::read_home_file(GuestThread& t, const std::string& path) {
  const wire::Reloc reloc{1, 0};
  const long fd = home_call(t, SYS_openat, {static_cast<u64>(AT_FDCWD), 0, O_RDONLY | O_CLOEXEC},
                            {reinterpret_cast<const u8*>(path.c_str()), path.size() + 1}, {&reloc, 1});
  if (fd < 0) return "";
  const wire::Out out{0, 65536, 1, 0, ~0u};
  constexpr size_t kMost = 1u << 20;
  std::string text;
  std::vector<u8> output;
  while (text.size() < kMost) {
    const long got = home_call(t, SYS_read, {static_cast<u64>(fd), 0, out.bytes}, {}, {&reloc, 1}, {&out, 1}, &output);
    if (got <= 0) break;
    text.append(reinterpret_cast<const char*>(output.data()), output.size());
  }
  home_call(t, SYS_close, {static_cast<u64>(fd)});
  return text;
}

bool Visit::special_open(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  const bool at = n.data.nr == SYS_openat;
  GuestMemory memory(t->guest->pid);
  std::string path;
  if (memory.read_string(GuestAddr{at ? n.data.args[1] : n.data.args[0]}, &path, 4096) != 0) return false;
  const u64 open_flags = at ? n.data.args[2] : n.data.args[1];
  if (open_flags == image::kLedgerOpenFlags && path.ends_with(fmt::format("/usage/{}", t->guest->home_pid))) {
    answer(n.id, -ENOENT);
    return true;
  }
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
  if (rest == "maps" || rest == "smaps") text = with_home_names(without_engine(text), *t->guest);
  if (rest == "status") text = merge_status(read_home_file(*t, path), text);
  if (rest == "stat") text = merge_stat(read_home_file(*t, path), text, cpu_of(*t->guest), children_elsewhere(*t, 0));
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
