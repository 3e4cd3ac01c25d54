// SPDX-License-Identifier: Apache-2.0
// CPU time of processes that move (lib/image/usage.h has the whole picture).
#pragma once

#include <sys/resource.h>
#include <sys/time.h>
#include <sys/types.h>

#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "lib/image/image.h"
#include "lib/image/ledger.h"

namespace omig::host {

u64 to_ticks(u64 ns);  // as times(2) and /proc count
u64 to_ns(const timeval& t);

// What this kernel has counted for a process (a zombie included) or one of its threads. Zero when it is gone.
image::CpuTime process_cpu(pid_t pid);
image::CpuTime thread_cpu(pid_t pid, pid_t tid);

// The clocks of a process or thread on this node: what it has used here, and what it has been told before.
class CpuMeter {
 public:
  // All threads of a host may ask.
  // `here`: what this kernel has counted so far; all of it is ours (restoring it), not the program's.
  void start(const image::CpuTime& shown, const image::CpuTime& unrecorded, const image::CpuTime& here);
  // Given the kernel's present figure: what the program has used all over. Never goes back.
  image::CpuTime shown(const image::CpuTime& here);
  image::CpuTime unrecorded(const image::CpuTime& here) const;
  void recorded(const image::CpuTime& here);

 private:
  mutable std::mutex mutex_;
  image::CpuTime base_, unrecorded_, started_at_, recorded_at_, last_;
};

// Of a process at home, frozen or not, for its departure: what it has used here and on other nodes, its limits, its
// ancestors. `state_dir`: where the ledger is; `ledger`: its own file there.
image::Account open_account(pid_t pid, const std::string& state_dir, std::span<const image::UsageRecord> ledger);
// The same of one thread, with what the ledger says of it.
image::CpuTime shown_at_home(pid_t pid, pid_t tid, std::span<const image::UsageRecord> ledger);
std::vector<image::UsageRecord> read_ledger(const std::string& state_dir, pid_t pid);

// The body of a wire::Account frame: these records, for everybody whom they concern.
std::vector<u8> account_frame(const image::Account& account, std::span<const image::UsageRecord> records);
// A record of `pid` (its thread `tid`), with the account's ancestors.
image::UsageRecord record_of(const image::Account& account, i32 pid, i32 tid, const image::CpuTime& used);
// The account of a child that it forks away from home.
image::Account account_of_child(const image::Account& parent, i32 parent_pid);

// As far as the process' hard limit there allows.
void set_limit(pid_t pid, __rlimit_resource resource, image::Limit wanted);
// Puts the limits on a guest that act where it runs; of CPU time what is left of it.
void apply_limits(pid_t guest, const image::Account& account, const image::CpuTime& shown);

}  // namespace omig::host
