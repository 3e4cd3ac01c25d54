// SPDX-License-Identifier: Apache-2.0
// Freezing a program at home, and letting it go. homed's mover is not the program's parent: it attaches with ptrace for
// the time of the freeze only (KERNEL.md 2), so nothing is visible to the program, and if the mover is killed the
// kernel detaches it and the program runs on.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "homed/host/sleep_probe.h"
#include "homed/host/trace.h"

namespace omig::host {

inline constexpr std::chrono::milliseconds kFreezeLimit{300};

// The reason for which asking again at once helps.
inline constexpr const char* kComingHome = "busy: it is just coming home, try again";
inline constexpr const char* kJustStarting = "busy: it is just getting its engine, try again";
inline constexpr const char* kAnotherProgram = "busy: it has just executed another program, try again";

class FrozenProcess {
 public:
  FrozenProcess() = default;
  FrozenProcess(const FrozenProcess&) = delete;
  FrozenProcess& operator=(const FrozenProcess&) = delete;
  ~FrozenProcess() { release(); }

  // Stops every thread within the time given. On failure nothing stays stopped and the reason is in words.
  bool freeze(pid_t pid, std::chrono::milliseconds limit, std::string* reason);
  // Fills the image's threads with normalised registers, captures what injected syscalls must not disturb.
  bool capture(const EngineHead& head, std::string* reason);
  // Runs one syscall in the leader.
  long inject(u64 gadget, long nr, std::initializer_list<u64> args);
  // Until the engine is there: its gadget has no way back behind it. `restorer` is code that does rt_sigreturn, and the
  // gadget is followed by a `ret`. 0: there is none, and this process' death during a call harms the program.
  void return_by(u64 restorer) { restorer_ = restorer, own_gadget_ = false; }
  // Sends a thread to `entry` with rdi = argument when it is released.
  bool divert(size_t index, u64 entry, u64 argument, u64 stack);
  // Lets everything run: undiverted threads exactly where they were.
  void release();

  pid_t pid() const { return pid_; }
  const std::vector<pid_t>& tids() const { return tids_; }
  std::vector<image::Thread>& threads() { return threads_; }

 private:
  bool stop_thread(pid_t tid, std::chrono::steady_clock::time_point deadline, std::string* reason);
  bool signal_pending(pid_t tid) const;
  void resume_wait(size_t index);  // of a thread that was stopped and not captured
  // A wait that our stop has ended; its registers, and what is left of its time. Returns the registers it got.
  static user_regs_struct issue_again(pid_t tid, image::Thread thread, u64 deadline_ns);

  pid_t pid_ = 0;
  u64 restorer_ = 0;
  bool own_gadget_ = true;
  std::vector<pid_t> tids_;
  std::vector<std::optional<SleepProbe>> sleeps_;
  std::vector<u64> stopped_ns_;
  std::map<pid_t, u64> waits_;          // when a thread's wait ends, as an earlier stop has found out
  std::vector<user_regs_struct> here_;  // registers that continue a thread in this kernel, which knows its sleeps
  std::vector<image::Thread> threads_;  // normalised
  std::vector<bool> diverted_;
};

}  // namespace omig::host
