// SPDX-License-Identifier: Apache-2.0
// CPU time as a guest sees it: what its kernel here counts, behind what it has used before (lib/image/usage.h). Its
// children are home's, and what those used on other nodes stands in home's ledger.
#include <errno.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "homed/host/proc.h"
#include "homed/host/visit.h"

namespace omig::host {
namespace {

constexpr u64 kSecond = 1'000'000'000;

timeval to_timeval(u64 ns) {
  return {static_cast<time_t>(ns / kSecond), static_cast<suseconds_t>(ns % kSecond / 1000)};
}

void put(rusage* usage, const image::CpuTime& used) {
  usage->ru_utime = to_timeval(used.user_ns);
  usage->ru_stime = to_timeval(used.system_ns);
}

void add(rusage* usage, const image::CpuTime& used) {
  usage->ru_utime = to_timeval(to_ns(usage->ru_utime) + used.user_ns);
  usage->ru_stime = to_timeval(to_ns(usage->ru_stime) + used.system_ns);
}

template <typename T, typename Change>
void edit(GuestMemory& memory, u64 at, Change change) {
  T value{};
  if (at == 0 || !memory.read(GuestAddr{at}, &value, sizeof value)) return;
  change(&value);
  memory.write(GuestAddr{at}, &value, sizeof value);
}

}  // namespace

image::CpuTime Visit::cpu_of(Guest& guest) {
  const image::CpuTime here = process_cpu(guest.pid);
  const std::lock_guard lock(mutex_);
  return guest.cpu.shown(here);
}

image::CpuTime Visit::cpu_of(GuestThread& t) {
  const image::CpuTime here = thread_cpu(t.guest->pid, t.tid);
  const std::lock_guard lock(mutex_);
  return t.cpu.shown(here);
}

// What children that have been waited for used on other nodes: all of them, or the one with this number.
image::CpuTime Visit::children_elsewhere(GuestThread& t, i32 only_child) {
  image::CpuTime sum;
  const Guest& guest = *t.guest;
  const std::string text = read_home_file(t, fmt::format("{}/{}", guest.header.account.directory, guest.home_pid));
  std::map<i32, bool> counts;
  if (only_child != 0) counts[only_child] = true;
  for (const image::UsageRecord& record : image::parse_ledger(text)) {
    const i32 child = image::concerns_through(record, guest.home_pid);
    if (child == 0 || child == guest.home_pid) continue;
    auto found = counts.find(child);
    if (found == counts.end()) {
      const bool waited_for = only_child == 0 && home_call(t, SYS_kill, {static_cast<u64>(child), 0}) == -ESRCH;
      found = counts.emplace(child, waited_for).first;
    }
    if (found->second) sum += record.used;
  }
  return sum;
}

// clock_gettime of a clock of CPU time. The deputy answers for other processes' clocks.
bool Visit::special_cpu_clock(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  constexpr i32 kPerThread = 4, kKindMask = 3, kUser = 1, kFileClock = 3;
  const i32 clock = static_cast<i32>(n.data.args[0]);
  i32 kind = 2;
  bool of_thread = clock == CLOCK_THREAD_CPUTIME_ID;
  if (clock < 0) {
    const i32 number = ~(clock >> 3);
    kind = clock & kKindMask;
    of_thread = (clock & kPerThread) != 0;
    if (kind == kFileClock || (number != 0 && number != (of_thread ? t->home_tid : t->guest->home_pid))) return false;
  } else if (clock != CLOCK_PROCESS_CPUTIME_ID && !of_thread) {
    answer_continue(n.id);
    return true;
  }
  const image::CpuTime used = of_thread ? cpu_of(*t) : cpu_of(*t->guest);
  const u64 ns = kind == kUser ? used.user_ns : used.total_ns();
  const timespec value{static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
  GuestMemory memory(t->guest->pid);
  answer(n.id, memory.write(GuestAddr{n.data.args[1]}, &value, sizeof value) ? 0 : -EFAULT);
  return true;
}

// The answers that the deputy's kernel has given are completed. The thread is in its call.
void Visit::complete_usage(GuestThread& t, u32 nr, const u64 args[6], i64 value) {
  GuestMemory memory(t.guest->pid);
  switch (nr) {
    case SYS_times: {
      if (args[0] == 0) return;
      const image::CpuTime own = cpu_of(*t.guest), children = children_elsewhere(t, 0);
      edit<tms>(memory, args[0], [&](tms* times) {
        times->tms_utime = static_cast<clock_t>(to_ticks(own.user_ns));
        times->tms_stime = static_cast<clock_t>(to_ticks(own.system_ns));
        times->tms_cutime += static_cast<clock_t>(to_ticks(children.user_ns));
        times->tms_cstime += static_cast<clock_t>(to_ticks(children.system_ns));
      });
      return;
    }
    case SYS_getrusage: {
      if (value != 0) return;
      const i32 who = static_cast<i32>(args[0]);
      const image::CpuTime used = who == RUSAGE_CHILDREN ? children_elsewhere(t, 0)
                                  : who == RUSAGE_THREAD ? cpu_of(t)
                                                         : cpu_of(*t.guest);
      edit<rusage>(memory, args[1],
                   [&](rusage* usage) { who == RUSAGE_CHILDREN ? add(usage, used) : put(usage, used); });
      return;
    }
    case SYS_wait4: {
      if (value <= 0 || args[3] == 0) return;
      const image::CpuTime used = children_elsewhere(t, static_cast<i32>(value));
      edit<rusage>(memory, args[3], [&](rusage* usage) { add(usage, used); });
      return;
    }
    case SYS_waitid: {
      siginfo_t info{};
      if (value != 0 || args[4] == 0 || args[2] == 0 || !memory.read(GuestAddr{args[2]}, &info, sizeof info)) return;
      if (info.si_pid == 0) return;
      const image::CpuTime used = children_elsewhere(t, info.si_pid);
      edit<rusage>(memory, args[4], [&](rusage* usage) { add(usage, used); });
      return;
    }
    // A limit of its own that acts where it runs.
    case SYS_setrlimit:
    case SYS_prlimit64: {
      const u64* const own = nr == SYS_setrlimit ? args : args + 1;  // prlimit64 names a process first
      const bool ours = own == args || args[0] == 0 || static_cast<i32>(args[0]) == t.guest->home_pid;
      rlimit limit{};
      if (value == 0 && ours && own[1] != 0 && memory.read(GuestAddr{own[1]}, &limit, sizeof limit))
        change_limit(*t.guest, static_cast<u32>(own[0]), {limit.rlim_cur, limit.rlim_max});
      return;
    }
    default: return;
  }
}

void Visit::change_limit(Guest& guest, u32 resource, image::Limit limit) {
  image::Account& account = guest.header.account;
  switch (resource) {
    case RLIMIT_CORE: account.core_bytes = limit; return;
    case RLIMIT_CPU: account.cpu_s = limit; break;
    case RLIMIT_DATA: account.data_bytes = limit; break;
    case RLIMIT_AS: account.address_space_bytes = limit; break;
    case RLIMIT_STACK:
      guest.header.stack_limit_bytes = limit.soft;
      set_limit(guest.pid, RLIMIT_STACK, {limit.soft});
      return;
    default: return;
  }
  apply_limits(guest.pid, account, cpu_of(guest));
}

// The end of a visit, or of a process: what it has used here goes into the ledger. Whoever reads it afterwards on this
// link, or after the process' end, finds it there. `here`: what the kernel has counted for the process.
std::vector<u8> Visit::close_account(Guest& guest, const image::CpuTime& here) {
  std::vector<image::UsageRecord> records;
  std::vector<std::pair<std::shared_ptr<GuestThread>, image::CpuTime>> threads;
  for (const auto& t : threads_of(guest)) threads.emplace_back(t, thread_cpu(guest.pid, t->tid));
  const std::lock_guard lock(mutex_);
  const image::Account& account = guest.header.account;
  if (account.directory[0] == 0) return {};
  image::CpuTime all = guest.cpu.unrecorded(here), live;
  guest.cpu.recorded(here);
  for (auto& [t, used_here] : threads) {
    const image::CpuTime used = t->cpu.unrecorded(used_here);
    t->cpu.recorded(used_here);
    live += used;
    if (used.total_ns() != 0) records.push_back(record_of(account, guest.home_pid, t->home_tid, used));
  }
  // The sum of all records is the process' figure. That was read before its threads': one that has just stopped may
  // still have been on its way out of its CPU.
  if (all.total_ns() < live.total_ns()) all = live;
  if (records.empty()) {
    if (all.total_ns() != 0) records.push_back(record_of(account, guest.home_pid, guest.home_pid, all));
  } else if (const image::CpuTime rest = all.since(live); rest.total_ns() != 0) {
    records.push_back(record_of(account, guest.home_pid, 0, rest));
  }
  constexpr size_t kMost = 256;  // many threads: what does not fit is said of the process as a whole
  if (records.size() > kMost) records = {record_of(account, guest.home_pid, guest.home_pid, all)};
  return records.empty() ? std::vector<u8>() : account_frame(account, records);
}

void Visit::close_account(GuestThread& on) {
  const std::vector<u8> body = close_account(*on.guest, process_cpu(on.guest->pid));
  if (!body.empty()) send_frame(on.link, wire::Type::account, ++on.seq, body.data(), body.size());
}

}  // namespace omig::host
