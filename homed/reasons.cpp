// SPDX-License-Identifier: Apache-2.0
#include "homed/reasons.h"

#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
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

// Whether we could trace it; who may order it about is another question (permission.h).
Reason why_credentials(const std::string& status) {
  const uid_t own = geteuid();
  if (own == 0) return std::nullopt;
  const std::string_view uids = status_field(status, "Uid");
  std::string_view rest = uids;
  for (int i = 0; i < 4 && !rest.empty(); ++i) {
    if (number_at(rest) != own) return "another user's process";
    const size_t tab = rest.find('\t');
    rest.remove_prefix(tab == std::string_view::npos ? rest.size() : tab + 1);
  }
  return std::nullopt;
}

Reason why_threads(pid_t pid, const ReasonsQuery& query) {
  const std::string task = "/proc/" + std::to_string(pid) + "/task/";
  for (const pid_t tid : list_tids(pid)) {
    const auto status = read_text_file(task + std::to_string(tid) + "/status");
    const auto stat = read_thread_stat(pid, tid);
    if (!status || !stat) continue;  // it ended meanwhile
    const u64 mode = number_at(status_field(*status, "Seccomp"));
    const u64 filters = number_at(status_field(*status, "Seccomp_filters"));
    if (mode == 1 || (mode == 2 && filters > inherited_filters() + query.held)) return "own seccomp filter";
    if (stat->rt_policy == SCHED_FIFO || stat->rt_policy == SCHED_RR || stat->rt_policy == SCHED_DEADLINE)
      return "real-time scheduling";
    if (status_field(*status, "x86_Thread_features").find("shstk") != std::string_view::npos) return "shadow stack";
  }
  return std::nullopt;
}

struct Mapping {
  SharedMapping seen;
  std::string range;  // as in the file, "start-end"
  std::string flags;  // " rd wr mr mw "
  bool shared = false;
  bool pkey = false;

  bool flag(const char* name) const { return flags.find(std::string(" ") + name + " ") != std::string::npos; }
  // VM_MAYWRITE says what the program could do with mprotect, whatever the mapping's protection is now.
  bool shared_writable() const { return shared && (flag("mw") || (flag("sh") && flag("wr"))); }
};

// A mapping's first line.
std::optional<Mapping> parse_mapping(std::string_view line) {
  const auto parsed = parse_mapping_line(line);
  if (!parsed) return std::nullopt;
  Mapping m;
  m.seen = {parsed->start, parsed->end, parsed->offset, parsed->device, parsed->inode, std::string(parsed->path)};
  m.range = std::string(line.substr(0, line.find(' ')));
  m.shared = parsed->shared;
  return m;
}

Reason why_mapping(const Mapping& m, const ReasonsQuery& query) {
  if (m.seen.start >= kEngineBase && m.seen.start < kEngineEnd) return std::nullopt;  // the engine's own
  const std::string where = " " + m.range + (m.seen.path.empty() ? "" : " " + m.seen.path);
  if (m.shared && m.seen.path.starts_with("anon_inode:[io_uring]")) return "io_uring";
  if (m.flag("lo") && m.seen.path != "[vdso]") return "locked memory";
  if (m.flag("ht")) return "huge-page mapping" + where;
  if (m.flag("um") || m.flag("ui") || (m.flag("uw") && !query.ignore_tracer)) return "userfaultfd";
  if (m.pkey) return "memory protection keys";
  if ((m.flag("io") || m.flag("pf")) && !m.seen.path.starts_with("[v")) return "device mapping" + where;
  return std::nullopt;
}

// smaps: a line per mapping that starts with its range, then indented-less "Name: value" lines of it.
// Visits each mapping until the visit has a reason.
template <typename Visit>
Reason for_each_mapping(std::string_view smaps, const Visit& visit) {
  Mapping current;
  while (!smaps.empty()) {
    const size_t end = std::min(smaps.find('\n'), smaps.size());
    const std::string_view line = smaps.substr(0, end);
    smaps.remove_prefix(std::min(end + 1, smaps.size()));
    if (line.starts_with("VmFlags:")) {
      current.flags = std::string(line.substr(8)) + " ";
      if (auto reason = visit(current)) return reason;
    } else if (line.starts_with("ProtectionKey:")) {
      current.pkey = line.find_first_of("123456789") != std::string_view::npos;
    } else if (auto mapping = parse_mapping(line)) {
      current = std::move(*mapping);
    }
  }
  return std::nullopt;
}

void note_advice(const Mapping& m, std::vector<AdvisedRange>* advised) {
  if (m.seen.path.starts_with("[v")) return;
  const AdvisedRange range{m.seen.start, m.seen.end,   m.flag("dc"),
                           m.flag("wf"), m.flag("dd"), m.flag("gd") && m.seen.path != "[stack]"};
  if (range.dont_fork || range.wipe_on_fork || range.dont_dump || range.grows_down) advised->push_back(range);
}

Reason why_memory(pid_t pid, const ReasonsQuery& query, MemoryFacts* facts) {
  const auto smaps = read_text_file("/proc/" + std::to_string(pid) + "/smaps", 256 << 20);
  if (!smaps) return "its mappings cannot be read (is it another user's, or not dumpable?)";
  std::vector<SharedMapping> candidates;
  std::vector<AdvisedRange> advised;
  auto reason = for_each_mapping(*smaps, [&](const Mapping& m) {
    note_advice(m, &advised);
    if (m.shared) {
      candidates.push_back(m.seen);
      candidates.back().writable = m.shared_writable();
    }
    return why_mapping(m, query);
  });
  if (reason) return reason;
  // A view that cannot be written belongs to a segment if another view can.
  std::vector<SharedMapping> segments;
  for (const SharedMapping& m : candidates) {
    const bool written = std::ranges::any_of(candidates, [&](const SharedMapping& other) {
      return other.writable && other.device == m.device && other.inode == m.inode;
    });
    if (written) segments.push_back(m);
  }
  if (!segments.empty()) {
    reason = why_shared(pid, segments);
    if (reason) return reason;
  }
  if (facts != nullptr) *facts = {std::move(segments), std::move(advised)};
  return std::nullopt;
}

constexpr const char* kEnded = "it has ended";

bool has_ended(const std::optional<ProcStat>& stat) {
  return !stat || stat->state == 'Z' || stat->state == 'X' || stat->exiting;
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
  if (!known) return has_ended(read_stat(pid)) ? kEnded : "not preloaded, and its program cannot be read";
  if (std::string_view(ident, SELFMAG) != ELFMAG || ident[EI_CLASS] != ELFCLASS64) return "not a 64-bit program";
  return std::nullopt;
}

std::string pid_namespace(const std::string& pid) {
  char text[64];
  const ssize_t length = readlink(("/proc/" + pid + "/ns/pid").c_str(), text, sizeof(text));
  return length > 0 ? std::string(text, static_cast<size_t>(length)) : "";
}

}  // namespace

std::vector<AdvisedRange> advised_ranges(pid_t pid) {
  std::vector<AdvisedRange> advised;
  const auto smaps = read_text_file("/proc/" + std::to_string(pid) + "/smaps", 256 << 20);
  for_each_mapping(smaps.value_or(""), [&](const Mapping& m) -> Reason {
    note_advice(m, &advised);
    return std::nullopt;
  });
  return advised;
}

std::optional<std::string> why_stays(pid_t pid, const ReasonsQuery& query, MemoryFacts* facts) {
  const auto status = read_text_file("/proc/" + std::to_string(pid) + "/status");
  const auto stat = read_stat(pid);
  if (!status || !stat) return "no such process (see omctl ps)";
  if (has_ended(stat)) return kEnded;
  if (auto reason = why_credentials(*status)) return reason;
  if (status_field(*status, "Kthread") == "1") return "kernel thread";
  if (!has_engine(pid)) {
    if (auto reason = why_no_engine(pid)) return reason;
  }
  const std::string theirs = pid_namespace(std::to_string(pid));
  if (!theirs.empty() && theirs != pid_namespace("self")) return "in a pid namespace of its own";
  const std::string_view tracer = status_field(*status, "TracerPid");
  if (!query.ignore_tracer && tracer != "0" && !tracer.empty()) return "traced by " + std::string(tracer);
  if (auto reason = why_threads(pid, query)) return reason;
  if (number_at(status_field(*status, "VmLck")) != 0) return "locked memory";
  return why_memory(pid, query, facts);
}

}  // namespace omig
