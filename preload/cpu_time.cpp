// SPDX-License-Identifier: Apache-2.0
// getrusage, times, clock, clock_gettime, wait3 and wait4 for a program at home: what the kernel says, and what the
// ledger says was used on other nodes (lib/image/usage.h). The kernel lets nobody add to its figures, so this is the
// one thing for which libomig.so takes the place of the C library's functions; each calls the one behind it first.
//
// A process that was never away, nor its children, has no ledger: one open that fails is all it costs. While the
// process is away the host adds, and answers that open by ENOENT. A move between the two must not count anything twice:
// the ledger is read before and after the kernel is asked, and has to say the same.
//
// Programs that make system calls without a C library (static ones, Go) see the kernel's figures when they are home.
#include "lib/image/usage.h"
#include "preload/engine/sys.h"
#include "preload/ledger.h"

extern "C" {
// Of the C library, if it has them: nothing here may keep a program from starting.
[[gnu::weak]] void* dlsym(void* handle, const char* name);
[[gnu::weak]] int* __errno_location();
}

namespace omig {
namespace {

using engine::addr;
using engine::failed;
using engine::sys;
using image::CpuTime;

constexpr u64 kSecond = 1'000'000'000;
constexpr u64 kTicksPerSecond = 100;  // USER_HZ, part of the interface
constexpr i32 kSelf = 0, kChildren = -1, kThread = 1;
constexpr i32 kProcessClock = 2, kThreadClock = 3;

struct Timeval {
  i64 seconds, microseconds;
};
struct Rusage {
  Timeval user, system;
  i64 rest[14];
};
static_assert(sizeof(Rusage) == 144);
struct Tms {
  i64 user, system, children_user, children_system;
};

long result(long ret) {
  if (!failed(ret)) return ret;
  if (__errno_location != nullptr) *__errno_location() = static_cast<int>(-ret);
  return -1;
}

void add(Timeval* to, u64 ns) {
  const u64 all = static_cast<u64>(to->seconds) * kSecond + static_cast<u64>(to->microseconds) * 1000 + ns;
  *to = {static_cast<i64>(all / kSecond), static_cast<i64>(all % kSecond / 1000)};
}

void add(Rusage* to, const CpuTime& used) {
  add(&to->user, used.user_ns);
  add(&to->system, used.system_ns);
}

// What of the ledger is asked for. `child`: only what came through this one, which has just been waited for.
struct Wanted {
  bool own = false, children = false;
  i32 tid = 0;
  i32 child = 0;
};

struct Elsewhere {
  CpuTime own, children;
  bool operator==(const Elsewhere& other) const {
    return own.total_ns() == other.own.total_ns() && children.total_ns() == other.children.total_ns();
  }
};

// Whether the child has been waited for: only then does it count.
bool is_gone(i32 child) { return sys(__NR_kill, static_cast<u64>(child), 0) == -ESRCH; }

Elsewhere read_ledger(const Wanted& wanted) {
  Elsewhere sum;
  LedgerPath path;
  if (!find_own_ledger(&path)) return sum;
  const long fd = sys(__NR_openat, static_cast<u64>(-100), addr(path.text), image::kLedgerOpenFlags);
  if (failed(fd)) return sum;
  const i32 self = static_cast<i32>(sys(__NR_getpid));
  alignas(image::UsageRecord) u8 bytes[16 * sizeof(image::UsageRecord)];  // an array of records would be zeroed first
  const auto* records = reinterpret_cast<const image::UsageRecord*>(bytes);
  i32 last_child = 0;
  bool last_counts = false;
  for (;;) {
    const long got = sys(__NR_read, static_cast<u64>(fd), addr(bytes), sizeof bytes);
    if (got <= 0) break;
    for (u64 i = 0; i < static_cast<u64>(got) / sizeof(image::UsageRecord); ++i) {
      const image::UsageRecord& record = records[i];
      const i32 through = image::concerns_through(record, self);
      if (through == self) {
        if (wanted.own && (wanted.tid == 0 || record.tid == wanted.tid)) sum.own += record.used;
      } else if (through != 0 && wanted.children) {
        if (through != last_child) last_counts = wanted.child != 0 ? through == wanted.child : is_gone(through);
        last_child = through;
        if (last_counts) sum.children += record.used;
      }
    }
  }
  sys(__NR_close, static_cast<u64>(fd));
  return sum;
}

// Asks the kernel (by `ask`) at a moment when the ledger does not change.
template <typename Ask>
Elsewhere together(const Wanted& wanted, Ask ask) {
  Elsewhere before = read_ledger(wanted);
  for (int tries = 0;; ++tries) {
    ask();
    const Elsewhere after = read_ledger(wanted);
    if (after == before || tries == 8) return after;
    before = after;
  }
}

template <typename Function>
Function behind(const char* name) {
  constexpr long kNext = -1;
  return dlsym != nullptr ? reinterpret_cast<Function>(dlsym(reinterpret_cast<void*>(kNext), name)) : nullptr;
}

using ClockGettime = int (*)(int, engine::Timespec*);
ClockGettime clock_behind;  // asked often, and answered by the vdso: found once

}  // namespace

void find_functions_behind() { clock_behind = behind<ClockGettime>("clock_gettime"); }

}  // namespace omig

using namespace omig;

#pragma GCC visibility push(default)
extern "C" {

int clock_gettime(int clock, engine::Timespec* time) {
  const auto kernel = [&] {
    return clock_behind != nullptr
               ? clock_behind(clock, time)
               : static_cast<int>(result(sys(__NR_clock_gettime, static_cast<u64>(clock), addr(time))));
  };
  if (clock != kProcessClock && clock != kThreadClock) return kernel();
  int ret = 0;
  Wanted wanted;
  wanted.own = true;
  if (clock == kThreadClock) wanted.tid = static_cast<i32>(sys(__NR_gettid));
  const CpuTime more = together(wanted, [&] { ret = kernel(); }).own;
  if (ret != 0 || more.total_ns() == 0) return ret;
  const u64 all = static_cast<u64>(time->seconds) * kSecond + static_cast<u64>(time->nanoseconds) + more.total_ns();
  *time = {static_cast<i64>(all / kSecond), static_cast<i64>(all % kSecond)};
  return 0;
}

long clock() {
  engine::Timespec time{};
  if (clock_gettime(kProcessClock, &time) != 0) return -1;
  return time.seconds * 1'000'000 + time.nanoseconds / 1000;
}

int getrusage(int who, Rusage* usage) {
  if (usage == nullptr || (who != kSelf && who != kChildren && who != kThread))
    return static_cast<int>(result(sys(__NR_getrusage, static_cast<u64>(who), addr(usage))));
  long ret = 0;
  Wanted wanted;
  wanted.own = who != kChildren;
  wanted.children = who == kChildren;
  if (who == kThread) wanted.tid = static_cast<i32>(sys(__NR_gettid));
  const Elsewhere more =
      together(wanted, [&] { ret = sys(__NR_getrusage, static_cast<u64>(static_cast<i64>(who)), addr(usage)); });
  if (ret == 0) add(usage, who == kChildren ? more.children : more.own);
  return static_cast<int>(result(ret));
}

long times(Tms* times) {
  long ret = 0;
  Wanted wanted;
  wanted.own = wanted.children = true;
  const Elsewhere more = together(wanted, [&] { ret = sys(__NR_times, addr(times)); });
  if (times != nullptr && !failed(ret)) {
    constexpr u64 kTick = kSecond / kTicksPerSecond;
    times->user += static_cast<i64>(more.own.user_ns / kTick);
    times->system += static_cast<i64>(more.own.system_ns / kTick);
    times->children_user += static_cast<i64>(more.children.user_ns / kTick);
    times->children_system += static_cast<i64>(more.children.system_ns / kTick);
  }
  return result(ret);
}

// A cancellation point: the library's own waits.
int wait4(int pid, int* status, int options, Rusage* usage) {
  using Wait4 = int (*)(int, int*, int, Rusage*);
  const Wait4 library = behind<Wait4>("wait4");
  const int child = library != nullptr
                        ? library(pid, status, options, usage)
                        : static_cast<int>(result(sys(__NR_wait4, static_cast<u64>(static_cast<i64>(pid)), addr(status),
                                                      static_cast<u64>(options), addr(usage))));
  if (child <= 0 || usage == nullptr) return child;
  Wanted wanted;
  wanted.children = true;
  wanted.child = child;
  add(usage, read_ledger(wanted).children);
  return child;
}

int wait3(int* status, int options, Rusage* usage) { return wait4(-1, status, options, usage); }
}
#pragma GCC visibility pop
