// SPDX-License-Identifier: Apache-2.0
#include "homed/host/sleep_probe.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "homed/host/proc.h"
#include "homed/host/trace.h"

namespace omig::host {
namespace {

u64 monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<u64>(t.tv_sec) * 1'000'000'000ull + static_cast<u64>(t.tv_nsec);
}

// 0 says nothing: the scheduler has moved the thread to another CPU since it ran, even while it slept (a delayed
// dequeue, Linux 6.12), and forgets the moment (migrate_task_rq_fair).
std::optional<double> exec_start_ms(const std::string& sched) {
  const auto at = sched.find("se.exec_start");
  if (at == std::string::npos) return std::nullopt;
  const auto colon = sched.find(':', at);
  const double ms = colon == std::string::npos ? 0 : strtod(sched.c_str() + colon + 1, nullptr);
  return ms > 0 ? std::optional<double>(ms) : std::nullopt;
}

u64 voluntary_switches(pid_t pid, pid_t tid) {
  const std::string status = read_file(fmt::format("/proc/{}/task/{}/status", pid, tid));
  constexpr std::string_view kName = "\nvoluntary_ctxt_switches:";
  const auto at = status.find(kName);
  return at == std::string::npos ? ~0ull : strtoull(status.c_str() + at + kName.size(), nullptr, 10);
}

int last_cpu(pid_t pid, pid_t tid) {
  const std::string stat = read_file(fmt::format("/proc/{}/task/{}/stat", pid, tid));
  auto at = stat.rfind(')');
  for (int field = 2; field < 39 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  return at == std::string::npos ? -1 : atoi(stat.c_str() + at);
}

// Our own run queue's clock on that CPU, in milliseconds.
std::optional<double> clock_of_cpu_ms(int cpu) {
  cpu_set_t before, one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(cpu), &one);
  if (sched_getaffinity(0, sizeof before, &before) != 0 || sched_setaffinity(0, sizeof one, &one) != 0)
    return std::nullopt;
  sched_yield();  // the kernel notes exec_start when it looks at us
  const auto now = exec_start_ms(read_file("/proc/thread-self/sched"));
  sched_setaffinity(0, sizeof before, &before);
  return now;
}

}  // namespace

std::optional<SleepProbe> probe_sleep(pid_t pid, pid_t tid) {
  SleepProbe probe;
  auto& a = probe.args;
  const std::string call = read_file(fmt::format("/proc/{}/task/{}/syscall", pid, tid), 512);
  if (sscanf(call.c_str(), "%lu 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx 0x%lx", &probe.nr, &a[0], &a[1], &a[2], &a[3], &a[4],
             &a[5]) != 7) {
    return std::nullopt;
  }
  const auto wait = timed_wait(probe.nr, a.data());
  if (!wait) return std::nullopt;
  probe.wait = *wait;
  probe.switches = voluntary_switches(pid, tid);
  probe.time_ns = wait->unit == TimedWait::Unit::file
                      ? file_time_ns(pid, a[0], wait->option)
                      : time_asked_ns(*wait, a.data(), [pid](u64 from, void* to, u64 bytes) {
                          return read_memory(pid, from, to, bytes);
                        });
  if (probe.time_ns == 0) return std::nullopt;
  const auto since = exec_start_ms(read_file(fmt::format("/proc/{}/task/{}/sched", pid, tid)));
  const int cpu = last_cpu(pid, tid);
  if (!since || cpu < 0) return std::nullopt;
  const auto now = clock_of_cpu_ms(cpu);
  if (!now || *now < *since) return std::nullopt;
  const u64 now_ns = monotonic_ns();
  const u64 slept_ns = static_cast<u64>(std::llround((*now - *since) * 1e6));
  if (slept_ns > now_ns) return std::nullopt;
  probe.slept_since_ns = now_ns - slept_ns;
  return probe;
}

u64 sleep_deadline_ns(const SleepProbe& probe, pid_t pid, pid_t tid, const user_regs_struct& r, u64 stopped_ns) {
  const auto args = arguments_of(r);
  if (r.orig_rax != probe.nr || args != probe.args) return 0;
  const u64 switches = voluntary_switches(pid, tid);
  if (probe.switches == ~0ull || switches > probe.switches + 1) return 0;
  // With a place for the time left the kernel has written it there: exact.
  const TimedWait& wait = probe.wait;
  const u64 rest_at = wait.rest_replaces ? args[wait.argument] : wait.rest_at ? args[*wait.rest_at] : 0;
  u64 rest[2] = {};
  if (rest_at != 0 && read_memory(pid, rest_at, rest, sizeof rest))
    return stopped_ns + rest[0] * 1'000'000'000ull + rest[1] * (wait.unit == TimedWait::Unit::timeval ? 1'000 : 1);
  return probe.slept_since_ns + probe.time_ns;
}

}  // namespace omig::host
