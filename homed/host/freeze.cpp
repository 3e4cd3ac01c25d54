// SPDX-License-Identifier: Apache-2.0
#include "homed/host/freeze.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "homed/host/proc.h"

namespace omig::host {

using Clock = std::chrono::steady_clock;

namespace {

u64 monotonic_ns() { return static_cast<u64>(Clock::now().time_since_epoch().count()); }

}  // namespace

bool FrozenProcess::stop_thread(pid_t tid, Clock::time_point deadline, std::string* reason) {
  const auto sleep = probe_sleep(pid_, tid);
  if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) != 0) {
    // A thread that is just ending is still listed, but cannot be traced any more (EPERM).
    const int error = errno;
    if (error == ESRCH || (tid != pid_ && has_ended(pid_, tid))) return true;
    *reason = has_ended(pid_, tid) ? "its first thread has ended"
                                   : fmt::format("cannot trace thread {}: {}", tid, strerror(error));
    return false;
  }
  tids_.push_back(tid);
  sleeps_.push_back(sleep);
  stopped_ns_.push_back(0);
  if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) != 0 && errno != ESRCH) {
    *reason = fmt::format("cannot stop thread {}: {}", tid, strerror(errno));
    return false;
  }
  for (;;) {
    int status = 0;
    const pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
    if (got == tid && !WIFSTOPPED(status)) {
      tids_.pop_back();
      sleeps_.pop_back();
      stopped_ns_.pop_back();
      if (tid != pid_) return true;  // only this thread has ended
      *reason = "it ended";
      return false;
    }
    if (got == tid) {
      if ((status >> 16) == PTRACE_EVENT_STOP) {
        if (WSTOPSIG(status) == SIGTRAP) {
          stopped_ns_.back() = monotonic_ns();
          return true;
        }
        *reason = "it is stopped by a signal; continue it first (kill -CONT)";
        return false;
      }
      // About to take a signal: it takes it, and stops before the handler's first instruction. (Held back here it would
      // lose its siginfo and its place in the queue with the first injected call.)
      ptrace(PTRACE_INTERRUPT, tid, 0, 0);
      ptrace(PTRACE_CONT, tid, 0, WSTOPSIG(status));
      continue;
    }
    if (got < 0 && errno != EINTR) {
      *reason = "it ended";
      return false;
    }
    if (Clock::now() > deadline) {
      *reason = "busy: a thread does not stop now (vfork in progress or waiting for a device), try again";
      return false;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));  // waitpid has no time-out of its own
  }
}

bool FrozenProcess::freeze(pid_t pid, std::chrono::milliseconds limit, std::string* reason) {
  pid_ = pid;
  const auto deadline = Clock::now() + limit;
  for (bool found_new = true; found_new;) {
    found_new = false;
    const auto tasks = read_tasks(pid);
    if (tasks.empty()) {
      *reason = "it ended";
      release();
      return false;
    }
    for (const pid_t tid : tasks) {
      if (std::find(tids_.begin(), tids_.end(), tid) != tids_.end()) continue;
      found_new = true;
      if (!stop_thread(tid, deadline, reason)) {
        release();
        return false;
      }
    }
    if (found_new && Clock::now() > deadline) {
      *reason = "busy: its threads come and go faster than they can be stopped, try again";
      release();
      return false;
    }
  }
  if (tids_.empty() || tids_.front() != pid) {
    *reason = "its first thread has ended";
    release();
    return false;
  }
  return true;
}

bool FrozenProcess::signal_pending(pid_t tid) const {
  const int fd = open_status(pid_, tid);
  if (fd < 0) return false;
  const auto masks = read_masks(fd);
  close(fd);
  // What the kernel will drop ends nothing.
  return masks && ((masks->pending | masks->shared_pending) & ~masks->blocked & ~unwanted_signals(*masks)) != 0;
}

user_regs_struct FrozenProcess::issue_again(pid_t tid, image::Thread thread, u64 deadline_ns) {
  Rest none;
  thread.sleep_deadline_ns = deadline_ns;
  wait_for_the_rest(&thread, monotonic_ns(), 0, &none);
  set_registers(tid, thread.regs);
  return thread.regs;
}

bool FrozenProcess::capture(const EngineHead& head, std::string* reason) {
  for (size_t i = 0; i < tids_.size(); ++i) {
    image::Thread thread;
    thread.tid = tids_[i];
    if (!capture_thread(tids_[i], &thread)) {
      *reason = "it ended";
      return false;
    }
    const bool pending = signal_pending(tids_[i]);
    user_regs_struct& here = here_.emplace_back(thread.regs);
    if (!pending) cut_write(pid_, head.finish_write, &thread);
    u64 deadline = 0;
    const bool waited_first = leave_wait_first(pid_, head.wait_first, &thread.regs, &deadline);
    const user_regs_struct at_stop = thread.regs;
    if (!waited_first && sleeps_[i]) deadline = sleep_deadline_ns(*sleeps_[i], pid_, tids_[i], at_stop, stopped_ns_[i]);
    if (in_engine(at_stop)) {
      *reason = kComingHome;
      return false;
    }
    normalise_restart(pid_, &thread, pending);
    if (waited_first && deadline != 0) thread.cut_short = wire::CutShort::eintr;
    const long result = static_cast<long>(at_stop.rax);
    if (static_cast<long>(here.rax) > 0 && thread.done_bytes != 0) {  // also one that was cut in finish_write already
      if (finish_write_here(pid_, head.finish_write, thread, &here)) set_registers(tids_[i], here);
    } else if (result == -516) {
      // It was stopped before (pre-copy), and the kernel tells no more when it began to wait.
      if (at_stop.orig_rax == SYS_restart_syscall && thread.restart_at_home == 0)
        thread.sleep_deadline_ns = waits_[tids_[i]];
    } else if (result == -EINTR && thread.regs.rip != at_stop.rip) {
      // Only our stop made it EINTR (epoll_wait): wherever it goes on, it waits for what is left of its time.
      here = issue_again(tids_[i], thread, deadline);
    }
    // -512 and a deadline: a terminal's read.
    const bool again = result == -516 || result == -514 || (result == -EINTR && !pending) || result == -512;
    if (again && deadline != 0) deadline = noted_deadline_ns(pid_, tids_[i], deadline);
    if (deadline != 0) waits_[tids_[i]] = deadline;
    if (deadline != 0 && again) {  // issue it again, for the rest of the time
      thread.restart_at_home = 0;
      thread.sleep_deadline_ns = deadline;
      thread.regs.rax = at_stop.orig_rax;
      thread.regs.rip = at_stop.rip - 2;
    } else if (waited_first) {
      thread.sleep_deadline_ns = deadline;
    }
    if (const u64 known = forget_the_rest(pid_, &thread); known != 0 && again) thread.sleep_deadline_ns = known;
    threads_.push_back(thread);
    diverted_.push_back(false);
  }
  return true;
}

// Should we be killed meanwhile, the kernel lets the thread run from where it stands: so each step leaves it registers
// from which it finds back by itself, behind the call by a signal frame below its stack's red zone. Only where the
// stack has not grown that far yet there is none.
long FrozenProcess::inject(u64 gadget, long nr, std::initializer_list<u64> args) {
  image::Thread back = threads_[0];
  back.regs = here_[0];
  back.done_bytes = 0;
  normalise_restart(pid_, &back, true);
  const u64 at = (back.regs.rsp - kRedZoneBytes - make_signal_frame(back, 0).size()) & ~63ull;
  const std::vector<u8> frame = make_signal_frame(back, at);
  // What lies below its stack need not be stack: goroutines have small ones. So it is put back.
  std::vector<u8> kept(frame.size());
  const bool mapped = read_memory(pid_, at, kept.data(), kept.size());
  bool safe = mapped && write_memory(pid_, at, frame.data(), frame.size()) && (own_gadget_ || restorer_ != 0);
  // The frame begins with the address that a handler returns to.
  if (!own_gadget_ && safe) safe = write_memory(pid_, at, &restorer_, sizeof restorer_);
  const u64 stack = own_gadget_ ? at + 8 : at;
  if (!prepare_injection(pid_, gadget, nr, std::span<const u64>(args.begin(), args.size()), safe ? stack : 0))
    return -ESRCH;
  set_mask(pid_, ~0ull);
  const long result = run_injection(pid_);
  if (mapped) write_memory(pid_, at, kept.data(), kept.size());
  // With the kernel's own code of an interrupted call, if any: being let go makes it look for signals, and then it
  // restarts the call or ends it, with its restart block, as if nothing had been (signal.c, __ptrace_unlink).
  set_mask(pid_, threads_[0].sigmask);
  set_registers(pid_, here_[0]);
  return result;
}

bool FrozenProcess::divert(size_t index, u64 entry, u64 argument, u64 stack) {
  user_regs_struct regs = threads_[index].regs;
  regs.rip = entry;
  regs.rdi = argument;
  regs.rsp = stack;
  regs.orig_rax = ~0ull;
  regs.eflags &= ~0x500ull;  // TF and DF
  // In this order: the engine blocks all signals itself, but nobody would unblock them for a thread not yet diverted.
  if (!set_registers(tids_[index], regs) || !set_mask(tids_[index], ~0ull)) return false;
  diverted_[index] = true;
  return true;
}

// A freeze that was given up halfway must not be what ends a wait either.
void FrozenProcess::resume_wait(size_t i) {
  image::Thread thread;
  if (!get_registers(tids_[i], &thread.regs)) return;
  const user_regs_struct at_stop = thread.regs;
  if (static_cast<long>(at_stop.rax) != -EINTR || static_cast<long>(at_stop.orig_rax) < 0 || signal_pending(tids_[i]))
    return;
  normalise_restart(pid_, &thread, false);
  issue_again(tids_[i], thread,
              sleeps_[i] ? sleep_deadline_ns(*sleeps_[i], pid_, tids_[i], at_stop, stopped_ns_[i]) : 0);
}

void FrozenProcess::release() {
  for (size_t i = 0; i < tids_.size(); ++i) {
    if (i >= threads_.size()) resume_wait(i);
    ptrace(PTRACE_DETACH, tids_[i], 0, 0);
  }
  tids_.clear();
  sleeps_.clear();
  stopped_ns_.clear();
  here_.clear();
  threads_.clear();
  diverted_.clear();
}

}  // namespace omig::host
