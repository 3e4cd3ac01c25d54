// SPDX-License-Identifier: Apache-2.0
// What /proc says about processes, read with plain calls. Everything here is a snapshot: the process may be gone, or be
// another one, by the time the answer is used, which is why identity is always pid and start time together.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/scheduling.h"
#include "lib/base/types.h"
#include "lib/image/anchor.h"

namespace omig {

struct ProcStat {
  pid_t pid = 0;
  std::string name;
  char state = '?';
  pid_t ppid = 0;
  bool exiting = false;     // on its way to its end: its memory and its program may be gone
  bool foreground = false;  // its process group has its terminal
  bool leads_group = false;
  u64 cpu_ticks = 0;  // utime + stime of all threads
  u32 threads = 0;
  u64 start_ticks = 0;  // since boot
  u64 rss_bytes = 0;
  u32 rt_policy = 0;
};

std::optional<std::string> read_text_file(const std::string& path, size_t max_bytes = 16 << 20);
// By rename: a full disk loses the new text, never the old. Mode 0600. False: errno says why.
bool replace_file(const std::string& path, const std::string& text);
std::optional<ProcStat> parse_stat(std::string_view text);
std::optional<ProcStat> read_stat(pid_t pid);
std::optional<ProcStat> read_thread_stat(pid_t pid, pid_t tid);
// CPU time of its main thread so far, exact to the microsecond; 0: it has ended.
double main_thread_cpu_ms(pid_t pid);
std::vector<pid_t> list_numbers(const std::string& directory);  // pids of /proc, tids of /proc/PID/task
std::vector<pid_t> list_pids();
std::vector<pid_t> list_tids(pid_t pid);

// "Uid:" -> "1000\t1000\t1000\t1000"; empty if absent.
std::string_view status_field(std::string_view status, std::string_view name);

// A mapping's line of /proc/PID/maps or smaps: "start-end perms offset major:minor inode   path".
struct MappingLine {
  u64 start = 0, end = 0, offset = 0;
  u64 device = 0, inode = 0;
  bool writable = false, shared = false;
  std::string_view path;  // into the line
};
std::optional<MappingLine> parse_mapping_line(std::string_view line);

// Of a process that is stopped: another number, never 0, for each stop, even if nobody saw it run in between. Every
// stop makes each thread give up its CPU once more (do_signal_stop in kernel/signal.c).
u64 stop_number(pid_t pid);
// Signals that are pending for one thread alone (bit signal-1; without those of the kernel's own making): of each
// thread that has any.
struct DirectedSignals {
  pid_t tid = 0;
  u64 mask = 0;
};
std::vector<DirectedSignals> directed_signals(pid_t pid);
// How each of its threads is scheduled.
std::map<pid_t, Scheduling> thread_scheduling(pid_t pid);
// The process' number in each pid namespace from ours inwards; one number: it lives in ours.
std::vector<pid_t> namespace_pids(std::string_view status);
std::optional<uid_t> effective_uid(std::string_view status);

std::optional<std::string> environment_variable(std::string_view environ_block, std::string_view name);
std::string command_line(pid_t pid);  // arguments joined by spaces; [name] if there are none

// Is the engine mapped in it? Asks memory first, then (not allowed) the list of mappings.
bool has_engine(pid_t pid);
// Nothing: the process never left home, or may not be read.
std::optional<Anchor> read_anchor(pid_t pid);

}  // namespace omig
