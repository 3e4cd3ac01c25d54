// SPDX-License-Identifier: Apache-2.0
// How long has a waiting thread waited already? The kernel keeps a relative time-out where nobody can read it, and a
// freeze ends the wait. But a blocked thread's `se.exec_start` in /proc/TID/sched is the moment it went to sleep, on
// the clock of its CPU's run queue; our own, read on the same CPU, is now. Asked before the freeze, for the freeze
// wakes the thread.
#pragma once

#include <array>

#include "homed/host/timed_wait.h"

namespace omig::host {

struct SleepProbe {
  u64 nr = 0;
  std::array<u64, 6> args{};
  TimedWait wait;
  u64 time_ns = 0;         // read before the freeze: the kernel may write the time left to the same place
  u64 slept_since_ns = 0;  // CLOCK_MONOTONIC
  u64 switches = 0;        // voluntary context switches so far: one more after the freeze, or it has been awake between
};

// Nothing when the thread is not in a relative wait, or this kernel does not tell.
std::optional<SleepProbe> probe_sleep(pid_t pid, pid_t tid);

// After the freeze, with the registers of the stop, which was seen at `stopped_ns` (CLOCK_MONOTONIC): when the wait
// should end. 0: not known, or it had ended.
u64 sleep_deadline_ns(const SleepProbe& probe, pid_t pid, pid_t tid, const user_regs_struct& at_stop, u64 stopped_ns);

}  // namespace omig::host
