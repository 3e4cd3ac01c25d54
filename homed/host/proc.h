// SPDX-License-Identifier: Apache-2.0
// What /proc says about a process: mappings, threads, signal masks, memory map pointers.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "lib/image/image.h"

namespace omig::host {

struct MapsLine {
  u64 start = 0, end = 0, offset = 0;
  u32 prot = 0;
  bool shared = false;
  u64 device = 0, inode = 0;
  std::string path;
  bool deleted = false;
};

// Empty when the process is gone.
std::vector<MapsLine> read_maps(pid_t pid);
// The same of its text. A line that is cut short (its process died while we read) is left out.
std::vector<MapsLine> parse_maps(std::string_view text);

// All tids, the leader first. Empty when the process is gone.
std::vector<pid_t> read_tasks(pid_t pid);

// Everything but brk, which only the process itself knows exactly.
std::optional<image::MmMap> read_mm(pid_t pid);

std::string read_file(const std::string& path, size_t max_bytes = 1 << 20);

struct SignalMasks {
  u64 pending = 0, shared_pending = 0, blocked = 0, ignored = 0, caught = 0;
};
// From an open /proc/PID/task/TID/status, which stays valid while the thread lives.
std::optional<SignalMasks> read_masks(int status_fd);
int open_status(pid_t pid, pid_t tid);
inline constexpr u64 kIgnoredByDefault =
    1ull << (SIGCHLD - 1) | 1ull << (SIGURG - 1) | 1ull << (SIGWINCH - 1) | 1ull << (SIGCONT - 1);
// Those that no handler takes and whose default is to be ignored: the kernel drops them when their turn comes. They are
// queued all the same while the program is traced.
inline u64 unwanted_signals(const SignalMasks& masks) { return masks.ignored | (kIgnoredByDefault & ~masks.caught); }

// The innermost pid of a task: what it is in its own pid namespace.
pid_t inner_pid(pid_t tid);

// utime + stime of a process in milliseconds.
u64 cpu_ms(pid_t pid);
struct CpuTicks {
  u64 user = 0, system = 0;
};
CpuTicks cpu_ticks(pid_t pid, pid_t tid);  // of a thread; tid 0: of the process
pid_t parent_of(pid_t pid);                // 0: it is gone
u64 rss_bytes(pid_t pid);
char task_state(pid_t pid);
bool has_ended(pid_t pid, pid_t tid);  // a thread that is gone, or is nothing but a name any more
uid_t owner_of(pid_t pid);
// Signals that a signalfd of the process reads.
u64 signalfd_mask(pid_t pid);

}  // namespace omig::host
