// SPDX-License-Identifier: Apache-2.0
// Stopping all threads of a guest for a move, and letting it go again if there is none.
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "homed/host/visit.h"

namespace omig::host {
namespace {

constexpr std::chrono::milliseconds kGuestFreezeLimit{2000};

}  // namespace

bool Visit::freeze(Guest& guest, std::string* reason) {
  constexpr const char* kStopped = "it is stopped by a signal; continue it first (kill -CONT)";
  {
    const std::lock_guard lock(mutex_);
    if (guest.vfork_children > 0) {
      *reason = "busy: vfork in progress, try again";
      return false;
    }
    for (auto& [tid, t] : guest.threads) {
      if (t->group_stopped) {
        *reason = kStopped;
        return false;
      }
      if (t->restart_at_home && t->in_call) {
        *reason = "busy: it sleeps in a call that began before it left home, try again when that ends";
        return false;
      }
    }
    probe_waits(guest);
    guest.freezing = true;
  }
  const auto deadline = SteadyClock::now() + kGuestFreezeLimit;
  std::vector<pid_t> interrupted;
  for (;;) {
    bool all = true, stopped = false;
    {
      const std::lock_guard lock(mutex_);
      if (guest.ending || guest.threads.empty()) {
        *reason = "it ended";
        guest.freezing = false;
        return false;
      }
      for (auto& [tid, t] : guest.threads) {
        if (t->frozen) continue;
        all = false;
        stopped = stopped || t->group_stopped;
        if (std::find(interrupted.begin(), interrupted.end(), tid) == interrupted.end()) {
          ptrace(PTRACE_INTERRUPT, tid, 0, 0);
          interrupted.push_back(tid);
        }
        if (t->in_call && t->abortable && !t->aborting) kick(*t);
      }
      for (auto& [pid, other] : guests_) all = all && !(other.get() == &guest && guest.vfork_children > 0);
    }
    if (all) return true;
    if (stopped) {
      *reason = kStopped;
      unfreeze(guest);
      return false;
    }
    if (SteadyClock::now() > deadline) break;
    pump(5);
  }
  *reason = "busy: it does not stop now (a call at home cannot be interrupted), try again";
  unfreeze(guest);
  return false;
}

void Visit::unfreeze(Guest& guest) {
  std::vector<std::shared_ptr<GuestThread>> frozen;
  {
    const std::lock_guard lock(mutex_);
    guest.freezing = false;
    for (auto& [tid, t] : guest.threads) {
      if (t->frozen) frozen.push_back(t);
    }
  }
  for (const auto& t : frozen) {
    if (t->fatal.si_signo != 0) {  // its death could not be taken home
      guest.dies_here = true;
      siginfo_t info = std::exchange(t->fatal, siginfo_t{});
      encode_siginfo(&info);
      syscall(SYS_rt_tgsigqueueinfo, guest.pid, t->tid, info.si_signo, &info);
    }
    // What the freeze alone interrupted is issued again (the kernel itself restarts all but these).
    user_regs_struct regs{};
    if (get_registers(t->tid, &regs) && static_cast<long>(regs.rax) == -EINTR && regs.orig_rax == SYS_rt_sigtimedwait) {
      regs.rax = regs.orig_rax;
      regs.rip -= 2;
      regs.orig_rax = ~0ull;
      set_registers(t->tid, regs);
    }
    if (!resume_wait_here(*t)) resume(*t);
  }
}

}  // namespace omig::host
