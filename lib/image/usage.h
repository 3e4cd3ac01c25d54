// SPDX-License-Identifier: Apache-2.0
// CPU time over moves. The kernel at home counts what a process used there; what it used on other nodes stands in the
// ledger: a file per process, STATE/usage/PID, to which records are appended when a visit ends.
//
// Who ends a visit appends its records to the file of the process itself and to those of its ancestors that could read
// them (the ones with the engine): a parent sees the CPU time of a child it has waited for, and so on upwards. So
// nothing has to happen when a process ends, be it at home or away. homed removes the files of the dead.
//
// Readers: the mover and the host (homed/host/usage.cpp) for a process that is away; libomig.so's own getrusage and
// friends (preload/cpu_time.cpp) for one that is at home.
#pragma once

#include "lib/base/types.h"

namespace omig::image {

struct CpuTime {
  u64 user_ns = 0;
  u64 system_ns = 0;
  u64 total_ns() const { return user_ns + system_ns; }
  CpuTime& operator+=(const CpuTime& more) {
    user_ns += more.user_ns;
    system_ns += more.system_ns;
    return *this;
  }
  // Never below zero: the kernel's split into user and system time is an estimate that may shift.
  CpuTime since(const CpuTime& earlier) const {
    return {user_ns > earlier.user_ns ? user_ns - earlier.user_ns : 0,
            system_ns > earlier.system_ns ? system_ns - earlier.system_ns : 0};
  }
};

// libomig.so opens the ledger with just these flags: RDONLY, NOCTTY, NONBLOCK, NOFOLLOW, CLOEXEC. By them, and by the
// name, the host knows that it is not the program who asks: away, it has already added what the ledger says.
inline constexpr u64 kLedgerOpenFlags = 0400 | 04000 | 0400000 | 02000000;

inline constexpr u32 kMaxAncestors = 12;

// One thread's part of one visit. All numbers are home's.
struct UsageRecord {
  CpuTime used;
  i32 pid = 0;
  i32 tid = 0;                        // 0: threads that ended during the visit
  i32 ancestors[kMaxAncestors] = {};  // the parent first; 0 ends the list
};
static_assert(sizeof(UsageRecord) == 24 + 4 * kMaxAncestors);

// The child of `reader` through which the record concerns it; `reader` itself for its own; 0: it does not.
inline i32 concerns_through(const UsageRecord& record, i32 reader) {
  if (record.pid == reader) return reader;
  i32 through = record.pid;
  for (u32 i = 0; i < kMaxAncestors && record.ancestors[i] != 0; ++i) {
    if (record.ancestors[i] == reader) return through;
    through = record.ancestors[i];
  }
  return 0;
}

struct Limit {
  u64 soft = ~0ull, hard = ~0ull;  // ~0: none, as RLIM_INFINITY
};

// What travels with a process.
struct Account {
  char directory[104] = {};  // the ledger's, at home
  i32 ancestors[kMaxAncestors] = {};
  u32 readers = 0;       // bit i: ancestors[i] has the engine
  u32 core_by_pipe = 0;  // home's core_pattern is a program or a socket: it gets a core whatever the limit
  CpuTime shown;         // what the process has been told that it has used, all over
  CpuTime unrecorded;    // of it: used on other nodes, not in the ledger yet
  Limit cpu_s, data_bytes, address_space_bytes, core_bytes;
  bool wants_core() const { return core_by_pipe != 0 || core_bytes.soft > 0; }
};

}  // namespace omig::image
