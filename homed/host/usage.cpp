// SPDX-License-Identifier: Apache-2.0
#include "homed/host/usage.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "homed/host/proc.h"
#include "homed/proc.h"

namespace omig::host {
namespace {

constexpr u64 kSecond = 1'000'000'000;

u64 tick_ns() {
  static const u64 per_s = static_cast<u64>(sysconf(_SC_CLK_TCK));
  return kSecond / per_s;
}

// The kernel's exact total, split as its own estimate of user time says (which it gives in ticks only).
image::CpuTime split(u64 total_ns, const CpuTicks& ticks) {
  const u64 user_ns = ticks.user * tick_ns(), system_ns = ticks.system * tick_ns();
  if (total_ns == 0) return {user_ns, system_ns};
  if (user_ns + system_ns == 0) return {total_ns, 0};
  const double part = static_cast<double>(user_ns) / static_cast<double>(user_ns + system_ns);
  const u64 user = static_cast<u64>(part * static_cast<double>(total_ns));
  return {user, total_ns - user};
}

image::Limit limit_of(pid_t pid, __rlimit_resource resource) {
  rlimit limit{};
  if (prlimit(pid, resource, nullptr, &limit) != 0) return {};
  return {limit.rlim_cur, limit.rlim_max};
}

}  // namespace

u64 to_ticks(u64 ns) { return ns / tick_ns(); }

u64 to_ns(const timeval& t) { return static_cast<u64>(t.tv_sec) * kSecond + static_cast<u64>(t.tv_usec) * 1000; }

image::CpuTime process_cpu(pid_t pid) {
  // The clock of a process, as clock_getcpuclockid(3) makes it; the kernel takes it for any process (posix-cpu-timers).
  const clockid_t clock = static_cast<clockid_t>(~static_cast<u32>(pid) << 3 | 2);
  timespec t{};
  const bool got = clock_gettime(clock, &t) == 0;
  return split(got ? static_cast<u64>(t.tv_sec) * kSecond + static_cast<u64>(t.tv_nsec) : 0, cpu_ticks(pid, 0));
}

image::CpuTime thread_cpu(pid_t pid, pid_t tid) {
  const std::string text = read_file(fmt::format("/proc/{}/task/{}/schedstat", pid, tid), 256);
  return split(strtoull(text.c_str(), nullptr, 10), cpu_ticks(pid, tid));
}

void CpuMeter::start(const image::CpuTime& shown, const image::CpuTime& unrecorded, const image::CpuTime& here) {
  const std::lock_guard lock(mutex_);
  base_ = last_ = shown;
  unrecorded_ = unrecorded;
  started_at_ = recorded_at_ = here;
}

// As the kernel's own cputime_adjust: the total is exact, and neither part ever goes back.
image::CpuTime CpuMeter::shown(const image::CpuTime& here) {
  const std::lock_guard lock(mutex_);
  const u64 used_ns = here.total_ns() - std::min(here.total_ns(), started_at_.total_ns());
  const u64 total_ns = std::max(base_.total_ns() + used_ns, last_.total_ns());
  u64 user_ns = std::max(base_.user_ns + here.since(started_at_).user_ns, last_.user_ns);
  user_ns = std::min(user_ns, total_ns - last_.system_ns);
  last_ = {user_ns, total_ns - user_ns};
  return last_;
}

void CpuMeter::recorded(const image::CpuTime& here) {
  const std::lock_guard lock(mutex_);
  unrecorded_ = {};
  recorded_at_ = here;
}

image::CpuTime CpuMeter::unrecorded(const image::CpuTime& here) const {
  const std::lock_guard lock(mutex_);
  image::CpuTime sum = unrecorded_;
  sum += here.since(recorded_at_);
  return sum;
}

std::vector<image::UsageRecord> read_ledger(const std::string& state_dir, pid_t pid) {
  return image::parse_ledger(read_file(fmt::format("{}/usage/{}", state_dir, pid), 16u << 20));
}

image::CpuTime shown_at_home(pid_t pid, pid_t tid, std::span<const image::UsageRecord> ledger) {
  image::CpuTime sum = tid == 0 ? process_cpu(pid) : thread_cpu(pid, tid);
  sum += image::used_elsewhere(ledger, pid, tid);
  return sum;
}

image::Account open_account(pid_t pid, const std::string& state_dir, std::span<const image::UsageRecord> ledger) {
  image::Account account;
  if (state_dir.size() + 32 < sizeof account.directory)
    (state_dir + "/usage").copy(account.directory, sizeof account.directory - 1);
  account.shown = shown_at_home(pid, 0, ledger);
  account.cpu_s = limit_of(pid, RLIMIT_CPU);
  account.data_bytes = limit_of(pid, RLIMIT_DATA);
  account.address_space_bytes = limit_of(pid, RLIMIT_AS);
  account.core_bytes = limit_of(pid, RLIMIT_CORE);
  const std::string pattern = read_file("/proc/sys/kernel/core_pattern", 256);
  account.core_by_pipe = pattern.starts_with('|') || pattern.starts_with('@') ? 1 : 0;
  pid_t ancestor = parent_of(pid);
  for (u32 i = 0; i < image::kMaxAncestors && ancestor > 1; ++i, ancestor = parent_of(ancestor)) {
    account.ancestors[i] = ancestor;
    if (has_engine(ancestor)) account.readers |= 1u << i;
  }
  return account;
}

image::Account account_of_child(const image::Account& parent, i32 parent_pid) {
  image::Account account = parent;
  std::copy_n(parent.ancestors, image::kMaxAncestors - 1, account.ancestors + 1);
  account.ancestors[0] = parent_pid;
  account.readers = parent.readers << 1 | 1;
  account.shown = account.unrecorded = {};
  return account;
}

image::UsageRecord record_of(const image::Account& account, i32 pid, i32 tid, const image::CpuTime& used) {
  image::UsageRecord record;
  record.used = used;
  record.pid = pid;
  record.tid = tid;
  std::copy_n(account.ancestors, image::kMaxAncestors, record.ancestors);
  return record;
}

std::vector<u8> account_frame(const image::Account& account, std::span<const image::UsageRecord> records) {
  std::string paths = fmt::format("{}/{}", account.directory, records.front().pid) + '\0';
  wire::Account head;
  head.paths = 1;
  for (u32 i = 0; i < image::kMaxAncestors && account.ancestors[i] != 0; ++i) {
    if ((account.readers >> i & 1) == 0) continue;
    paths += fmt::format("{}/{}", account.directory, account.ancestors[i]) + '\0';
    ++head.paths;
  }
  head.bytes = static_cast<u32>(records.size_bytes());
  std::vector<u8> body(sizeof head + records.size_bytes() + paths.size());
  memcpy(body.data(), &head, sizeof head);
  memcpy(body.data() + sizeof head, records.data(), records.size_bytes());
  memcpy(body.data() + sizeof head + records.size_bytes(), paths.data(), paths.size());
  return body;
}

void set_limit(pid_t pid, __rlimit_resource resource, image::Limit wanted) {
  rlimit limit{};
  if (prlimit(pid, resource, nullptr, &limit) != 0) return;
  limit.rlim_max = std::min<rlim_t>(wanted.hard, limit.rlim_max);
  limit.rlim_cur = std::min<rlim_t>(wanted.soft, limit.rlim_max);
  prlimit(pid, resource, &limit, nullptr);
}

void apply_limits(pid_t guest, const image::Account& account, const image::CpuTime& shown) {
  set_limit(guest, RLIMIT_DATA, account.data_bytes);
  set_limit(guest, RLIMIT_AS, account.address_space_bytes);
  const u64 used_s = shown.total_ns() / kSecond;
  const auto left = [&](u64 limit_s) {
    return limit_s == ~0ull ? limit_s : std::max<u64>(limit_s, used_s + 1) - used_s;
  };
  set_limit(guest, RLIMIT_CPU, {left(account.cpu_s.soft), left(account.cpu_s.hard)});
}

}  // namespace omig::host
