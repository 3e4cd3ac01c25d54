// SPDX-License-Identifier: Apache-2.0
#include "homed/reasons.h"

#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <charconv>
#include <climits>
#include <vector>

#include "homed/proc.h"

namespace omig {

namespace {

using Reason = std::optional<std::string>;

u64 number_at(std::string_view text) {
  u64 value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Filters that this program inherited as well (a container's) do not count: the deputy lives with them as we do.
u64 inherited_filters() {
  static const u64 count = number_at(status_field(read_text_file("/proc/self/status").value_or(""), "Seccomp_filters"));
  return count;
}

Reason why_credentials(const std::string& status, uid_t asker) {
  if (asker == 0) return std::nullopt;
  const std::string_view uids = status_field(status, "Uid");
  std::string_view rest = uids;
  for (int i = 0; i < 4 && !rest.empty(); ++i) {
    if (number_at(rest) != asker) return "another user's process";
    const size_t tab = rest.find('\t');
    rest.remove_prefix(tab == std::string_view::npos ? rest.size() : tab + 1);
  }
  return std::nullopt;
}

Reason why_threads(pid_t pid) {
  const std::string task = "/proc/" + std::to_string(pid) + "/task/";
  for (const pid_t tid : list_tids(pid)) {
    const auto status = read_text_file(task + std::to_string(tid) + "/status");
    const auto stat = read_thread_stat(pid, tid);
    if (!status || !stat) continue;  // it ended meanwhile
    const u64 mode = number_at(status_field(*status, "Seccomp"));
    const u64 filters = number_at(status_field(*status, "Seccomp_filters"));
    if (mode == 1 || (mode == 2 && filters > inherited_filters())) return "own seccomp filter";
    if (stat->rt_policy == SCHED_FIFO || stat->rt_policy == SCHED_RR || stat->rt_policy == SCHED_DEADLINE)
      return "real-time scheduling";
    if (status_field(*status, "x86_Thread_features").find("shstk") != std::string_view::npos) return "shadow stack";
  }
  return std::nullopt;
}

struct Mapping {
  u64 start = 0;
  std::string range;  // as in the file, "start-end"
  std::string path;
  std::string flags;  // " rd wr mr mw "
  bool shared = false;
  bool pkey = false;

  bool flag(const char* name) const { return flags.find(std::string(" ") + name + " ") != std::string::npos; }
};

Reason why_mapping(const Mapping& m, const ReasonsQuery& query) {
  if (m.start >= kEngineBase && m.start < kEngineEnd) return std::nullopt;  // the engine's own
  const std::string where = " " + m.range + (m.path.empty() ? "" : " " + m.path);
  // VM_MAYWRITE says what the program could do with mprotect, whatever the mapping's protection is now.
  if (m.shared && (m.flag("mw") || (m.flag("sh") && m.flag("wr")))) {
    if (m.path.starts_with("anon_inode:[io_uring]")) return "io_uring";
    const bool anonymous = m.path.starts_with("/dev/zero (deleted)") || m.path.starts_with("[anon_shmem") ||
                           m.path.starts_with("/SYSV") || m.path.starts_with("/memfd:");
    return anonymous ? "shared anonymous memory" : "shared writable mapping" + where;
  }
  if (m.flag("lo") && m.path != "[vdso]") return "locked memory";
  if (m.flag("ht")) return "huge-page mapping" + where;
  if (m.flag("um") || m.flag("ui") || (m.flag("uw") && !query.ignore_tracer)) return "userfaultfd";
  if (m.pkey) return "memory protection keys";
  if ((m.flag("io") || m.flag("pf")) && !m.path.starts_with("[v")) return "device mapping" + where;
  return std::nullopt;
}

// smaps: a line per mapping that starts with its range, then indented-less "Name: value" lines of it.
Reason why_memory(pid_t pid, const ReasonsQuery& query) {
  const auto smaps = read_text_file("/proc/" + std::to_string(pid) + "/smaps", 256 << 20);
  if (!smaps) return "its mappings cannot be read (is it another user's, or not dumpable?)";
  std::string_view rest = *smaps;
  Mapping current;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t dash = line.find('-');
    const size_t colon = line.find(':');
    if (line.starts_with("VmFlags:")) {
      current.flags = std::string(line.substr(8)) + " ";
      if (auto reason = why_mapping(current, query)) return reason;
    } else if (line.starts_with("ProtectionKey:")) {
      current.pkey = line.find_first_of("123456789") != std::string_view::npos;
    } else if (dash != std::string_view::npos && dash < colon && line.find(' ') > dash) {
      current = {};
      std::from_chars(line.data(), line.data() + dash, current.start, 16);
      const size_t space = line.find(' ');
      current.range = line.substr(0, space);
      current.shared = line.size() > space + 4 && line[space + 4] == 's';
      // The path is the sixth column.
      size_t at = 0;
      for (int column = 0; column < 5 && at < line.size(); ++column) {
        at = std::min(line.find(' ', at), line.size());
        at = std::min(line.find_first_not_of(' ', at), line.size());
      }
      current.path = line.substr(at);
    }
  }
  return std::nullopt;
}

// A process without the engine gets it when it is to move, if it can use it.
Reason why_no_engine(pid_t pid) {
  const std::string base = "/proc/" + std::to_string(pid);
  const auto environment = read_text_file(base + "/environ");
  if (environment && environment_variable(*environment, "OMIG_DISABLE") == "1") return "disabled by OMIG_DISABLE=1";
  char ident[EI_CLASS + 1] = {};
  const int exe = open((base + "/exe").c_str(), O_RDONLY | O_CLOEXEC);
  const bool known = exe >= 0 && pread(exe, ident, sizeof ident, 0) == sizeof ident;
  if (exe >= 0) close(exe);
  if (!known) return "not preloaded, and its program cannot be read";
  if (std::string_view(ident, SELFMAG) != ELFMAG || ident[EI_CLASS] != ELFCLASS64) return "not a 64-bit program";
  return std::nullopt;
}

std::string pid_namespace(const std::string& pid) {
  char text[64];
  const ssize_t length = readlink(("/proc/" + pid + "/ns/pid").c_str(), text, sizeof(text));
  return length > 0 ? std::string(text, static_cast<size_t>(length)) : "";
}

}  // namespace

std::optional<std::string> why_stays(pid_t pid, const ReasonsQuery& query) {
  const auto status = read_text_file("/proc/" + std::to_string(pid) + "/status");
  const auto stat = read_stat(pid);
  if (!status || !stat) return "no such process";
  if (stat->state == 'Z' || stat->state == 'X') return "it has ended";
  const uid_t asker = query.asker == static_cast<uid_t>(-1) ? geteuid() : query.asker;
  if (auto reason = why_credentials(*status, asker)) return reason;
  if (status_field(*status, "Kthread") == "1") return "kernel thread";
  if (!has_engine(pid)) {
    if (auto reason = why_no_engine(pid)) return reason;
  }
  const std::string theirs = pid_namespace(std::to_string(pid));
  if (!theirs.empty() && theirs != pid_namespace("self")) return "in a pid namespace of its own";
  const std::string_view tracer = status_field(*status, "TracerPid");
  if (!query.ignore_tracer && tracer != "0" && !tracer.empty()) return "traced by " + std::string(tracer);
  if (auto reason = why_threads(pid)) return reason;
  if (number_at(status_field(*status, "VmLck")) != 0) return "locked memory";
  return why_memory(pid, query);
}

}  // namespace omig
