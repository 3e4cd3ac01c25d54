// SPDX-License-Identifier: Apache-2.0
// Waits for a relative time that a move cuts (timed_wait.h), on the guest's side: those that home executes, whose
// message is changed to say the rest only, and those of the guest's own kernel (futex, sigtimedwait), whose register is
// changed for the time of the call.
#include <asm/ioctls.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include <cstring>
#include <utility>

#include "homed/host/proc.h"
#include "homed/host/visit.h"

namespace omig::host {
namespace {

constexpr u64 kSecond_ns = 1'000'000'000ull;
constexpr u64 kRests = kWorkData + kWorkDataBytes;  // a timespec for each slot
static_assert(kRests + (kMaxSlots + 1) * sizeof(timespec) < kWorkStackTop - 0x10000);

u64 monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<u64>(t.tv_sec) * kSecond_ns + static_cast<u64>(t.tv_nsec);
}

u64 left_ns(u64 deadline_ns) {
  const u64 now = monotonic_ns();
  return deadline_ns > now ? deadline_ns - now : 0;
}

bool reads(int nr) { return nr == SYS_read || nr == SYS_readv; }  // from whatever it is

bool of_the_guests_kernel(u64 nr) { return nr == SYS_futex || nr == SYS_rt_sigtimedwait; }

}  // namespace

timespec time_left(u64 deadline_ns) {
  const u64 left = left_ns(deadline_ns);
  return {static_cast<time_t>(left / kSecond_ns), static_cast<long>(left % kSecond_ns)};
}

// A freeze or a signal has cut the call short: when would it have ended by itself?
void Visit::remember_wait(GuestThread& t, const seccomp_notif& n, const wire::Reply& reply) {
  if (t.sleep_deadline_ns != 0) return;  // already a rest: the deadline stands
  const u64* args = reinterpret_cast<const u64*>(n.data.args);
  const auto wait = timed_wait(static_cast<u64>(n.data.nr), args);
  if (!wait) return;
  u64 time_ns = 0;
  if (wait->unit == TimedWait::Unit::file) {
    if ((reply.flags & wire::kReplyTimesOut) != 0)
      time_ns = home_socket_time_ns(t, args[0], wait->option);
    else if (const auto settings = cut_by_freeze(t) && reads(n.data.nr) ? home_terminal(t, args[0]) : std::nullopt)
      time_ns = terminal_time_ns(*settings);  // only then: after a signal it would begin anew natively, too
  } else {
    GuestMemory memory(t.guest->pid);
    time_ns = time_asked_ns(*wait, args,
                            [&](u64 from, void* to, u64 bytes) { return memory.read(GuestAddr{from}, to, bytes); });
  }
  if (time_ns == 0) return;
  const auto waited = std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now() - t.call_since).count();
  t.sleep_deadline_ns = monotonic_ns() - static_cast<u64>(waited) + time_ns;
  t.sleep_call = {static_cast<u64>(n.data.nr), args[0], args[1], args[2]};
}

// The call that is about to be sent home is a rest. Returns when a file's time-out is over: it is for us to end the
// call then. 0: not so.
u64 Visit::wait_the_rest(GuestThread& t, const seccomp_notif& n, syscalls::Prepared& prepared) {
  if (t.sleep_deadline_ns == 0) return 0;
  const u64* args = reinterpret_cast<const u64*>(n.data.args);
  const std::array<u64, 4> now{static_cast<u64>(n.data.nr), args[0], args[1], args[2]};
  const auto wait = timed_wait(static_cast<u64>(n.data.nr), args);
  if (!wait || now != t.sleep_call) {
    t.sleep_deadline_ns = 0;  // the program went on to something else
    return 0;
  }
  const u64 left = left_ns(t.sleep_deadline_ns);
  switch (wait->unit) {
    case TimedWait::Unit::file: return t.sleep_deadline_ns;
    case TimedWait::Unit::milliseconds: {
      u8* body = prepared.message.data() + sizeof(wire::Frame);
      wire::Call call;
      memcpy(&call, body, sizeof call);
      call.args[wait->argument] = (left + 999'999) / 1'000'000;
      memcpy(body, &call, sizeof call);
      return 0;
    }
    default: {
      const u64 time[2] = {left / kSecond_ns, left % kSecond_ns / (wait->unit == TimedWait::Unit::timeval ? 1'000 : 1)};
      syscalls::replace_input(&prepared, wait->argument, {reinterpret_cast<const u8*>(time), sizeof time});
      return 0;
    }
  }
}

u64 Visit::home_socket_time_ns(GuestThread& t, u64 fd, int option) {
  struct {
    u64 seconds, microseconds;
    u32 bytes, pad;
  } input{0, 0, 16, 0};
  const wire::Reloc relocs[] = {{3, 0}, {4, 16}};
  const wire::Out outs[] = {{0, 16, 0, 0, ~0u}};
  std::vector<u8> output;
  if (home_call(t, SYS_getsockopt, {fd, SOL_SOCKET, static_cast<u64>(option), 0, 0},
                {reinterpret_cast<const u8*>(&input), sizeof input}, relocs, outs, &output) != 0) {
    return 0;
  }
  memcpy(&input, output.data(), 16);
  return input.seconds * kSecond_ns + input.microseconds * 1'000;
}

std::optional<TerminalSettings> Visit::home_terminal(GuestThread& t, u64 fd) {
  TerminalSettings settings{};
  const wire::Reloc reloc{2, 0};
  const wire::Out out{0, sizeof settings, 0, 0, ~0u};
  std::vector<u8> output;
  if (home_call(t, SYS_ioctl, {fd, TCGETS, 0}, {}, {&reloc, 1}, {&out, 1}, &output) != 0) return std::nullopt;
  memcpy(&settings, output.data(), sizeof settings);
  return settings;
}

// What a file's own time-out answers.
i64 Visit::answer_of_time_over(GuestThread& t, const seccomp_notif& n) {
  if (n.data.nr == SYS_connect) return -EINPROGRESS;
  return reads(n.data.nr) && home_terminal(t, n.data.args[0]) ? 0 : -EAGAIN;
}

// Before a freeze interrupts anybody: who waits here for how long already.
void Visit::probe_waits(Guest& guest) {
  for (auto& [tid, t] : guest.threads) {
    t->probe.reset();
    if (!t->in_call && !t->frozen && t->sleep_deadline_ns == 0) t->probe = probe_sleep(guest.pid, tid);
    if (t->probe && !of_the_guests_kernel(t->probe->nr)) t->probe.reset();
  }
}

// A frozen thread, its registers as they stopped.
void Visit::note_wait_here(GuestThread& t, const user_regs_struct& stop) {
  const long result = static_cast<long>(stop.rax);
  if (!t.probe || (result != -516 && result != -EINTR)) return;
  const u64 deadline = sleep_deadline_ns(*t.probe, t.guest->pid, t.tid, stop, monotonic_ns());
  if (deadline == 0) return;
  t.sleep_deadline_ns = deadline;
  t.sleep_call = {t.probe->nr, stop.rdi, stop.rsi, stop.rdx};
}

// A thread whose registers issue such a wait again is let go so that it waits for the rest only.
bool Visit::resume_wait_here(GuestThread& t) {
  user_regs_struct regs{};
  if (t.sleep_deadline_ns == 0 || !get_registers(t.tid, &regs)) return false;
  const std::array<u64, 4> call{regs.rax, regs.rdi, regs.rsi, regs.rdx};
  const auto args = arguments_of(regs);
  const auto wait = timed_wait(regs.rax, args.data());
  const bool about_to = static_cast<long>(regs.orig_rax) < 0 && call == t.sleep_call;
  if (!about_to || !wait || !of_the_guests_kernel(regs.rax)) return false;
  const timespec left = time_left(t.sleep_deadline_ns);
  const u64 at = kRests + t.slot * sizeof left;
  u64& argument = argument_of(regs, wait->argument);
  if (!write_memory(t.tid, at, &left, sizeof left)) return false;
  t.rest_call = {true, wait->argument, argument};
  argument = at;
  if (!set_registers(t.tid, regs)) return false;
  t.stopped = t.frozen = false;
  return ptrace(PTRACE_SYSCALL, t.tid, 0, 0) == 0;
}

// In any stop of such a thread. True: the registers, given here, have the program's pointer again.
bool Visit::end_wait_here(GuestThread& t, user_regs_struct* regs) {
  if (!std::exchange(t.rest_call.active, false)) return false;
  argument_of(*regs, t.rest_call.argument) = t.rest_call.original;
  const long result = static_cast<long>(regs->rax);
  const bool over = static_cast<long>(regs->orig_rax) >= 0 && result > -512 && result != -EINTR;
  if (over) t.sleep_deadline_ns = 0;
  return set_registers(t.tid, *regs);
}

bool at_entry_of_call(pid_t tid) {
  __ptrace_syscall_info info{};
  return ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

}  // namespace omig::host
