// SPDX-License-Identifier: Apache-2.0
#include "homed/host/timed_wait.h"

#include <asm/termbits.h>
#include <errno.h>
#include <linux/futex.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "homed/host/trace.h"
#include "lib/link/peer.h"

namespace omig::host {
namespace {

constexpr u64 kSecond_ns = 1'000'000'000ull;
using Unit = TimedWait::Unit;

TimedWait milliseconds_in(u32 argument) { return {Unit::milliseconds, argument, false, std::nullopt, 0}; }
TimedWait timespec_at(u32 argument) { return {Unit::timespec, argument, false, std::nullopt, 0}; }
TimedWait file_with(int option) { return {Unit::file, 0, false, std::nullopt, option}; }

bool is_place_of_rest(u64 pointer) {
  return pointer >= kSlotsAddress && pointer < kEngineEnd && pointer % kSlotWindow == kSlotRest % kSlotWindow;
}

}  // namespace

std::optional<TimedWait> timed_wait(u64 nr, const u64 args[6]) {
  switch (nr) {
    case SYS_poll: return milliseconds_in(2);
    case SYS_epoll_wait:
    case SYS_epoll_pwait: return milliseconds_in(3);
    case SYS_ppoll: return TimedWait{Unit::timespec, 2, true, std::nullopt, 0};
    case SYS_pselect6: return TimedWait{Unit::timespec, 4, true, std::nullopt, 0};
    case SYS_select: return TimedWait{Unit::timeval, 4, true, std::nullopt, 0};
    case SYS_nanosleep: return TimedWait{Unit::timespec, 0, false, 1, 0};
    case SYS_clock_nanosleep:
      if ((args[1] & TIMER_ABSTIME) != 0) return std::nullopt;
      return TimedWait{Unit::timespec, 2, false, 3, 0};
    case SYS_rt_sigtimedwait: return timespec_at(2);
    case 441 /* epoll_pwait2 */:
    case SYS_semtimedop: return timespec_at(3);
    case SYS_futex:
      // All others that wait take an absolute time.
      if ((args[1] & FUTEX_CMD_MASK) != FUTEX_WAIT) return std::nullopt;
      return timespec_at(3);
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_accept:
    case SYS_accept4: return file_with(SO_RCVTIMEO);
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_connect: return file_with(SO_SNDTIMEO);
    default: return std::nullopt;
  }
}

u64 time_asked_ns(const TimedWait& wait, const u64 args[6], const ReadMemory& read) {
  const u64 argument = args[wait.argument];
  u64 time[2] = {};
  switch (wait.unit) {
    case Unit::milliseconds: return static_cast<i32>(argument) <= 0 ? 0 : (argument & 0xffffffff) * 1'000'000ull;
    case Unit::file: return 0;
    default: break;
  }
  if (argument == 0 || !read(argument, time, sizeof time)) return 0;
  if (time[0] > ~0ull / kSecond_ns / 2) return 0;  // for ever, or nonsense that the kernel refuses
  return time[0] * kSecond_ns + time[1] * (wait.unit == Unit::timeval ? 1'000 : 1);
}

u64 file_time_ns(pid_t pid, u64 fd, int option) {
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const Fd file(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), static_cast<int>(fd), 0)));
  timeval time{};
  socklen_t length = sizeof time;
  if (getsockopt(file.get(), SOL_SOCKET, option, &time, &length) == 0)
    return static_cast<u64>(time.tv_sec) * kSecond_ns + static_cast<u64>(time.tv_usec) * 1'000;
  TerminalSettings settings;
  if (option != SO_RCVTIMEO || ioctl(file.get(), TCGETS, &settings) != 0) return 0;
  return terminal_time_ns(settings);
}

u64 terminal_time_ns(const TerminalSettings& settings) {
  constexpr u64 kTenth_ns = kSecond_ns / 10;
  if ((settings.local_flags & ICANON) != 0 || settings.characters[VMIN] != 0) return 0;
  return settings.characters[VTIME] * kTenth_ns;
}

std::array<u64, 6> arguments_of(const user_regs_struct& r) { return {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9}; }

u64& argument_of(user_regs_struct& r, u32 number) {
  unsigned long long* const all[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10, &r.r8, &r.r9};
  static_assert(sizeof(unsigned long long) == sizeof(u64));
  return *reinterpret_cast<u64*>(all[number]);
}

void wait_for_the_rest(image::Thread* thread, u64 now_ns, u64 rest_at, Rest* rest) {
  if (thread->sleep_deadline_ns == 0) return;
  user_regs_struct& r = thread->regs;
  const auto args = arguments_of(r);
  const auto wait = timed_wait(r.rax, args.data());
  if (!wait) return;
  const u64 left_ns = thread->sleep_deadline_ns > now_ns ? thread->sleep_deadline_ns - now_ns : 0;
  u64& argument = argument_of(r, wait->argument);
  rest->argument = wait->argument;
  rest->original = argument;
  rest->seconds = left_ns / kSecond_ns;
  rest->nanoseconds = left_ns % kSecond_ns;
  rest->deadline_ns = thread->sleep_deadline_ns;
  switch (wait->unit) {
    case Unit::milliseconds:
      rest->how = RestHow::milliseconds;
      argument = (left_ns + 999'999) / 1'000'000;
      return;
    case Unit::file: rest->how = RestHow::file; return;
    case Unit::timeval: rest->how = RestHow::programs_timeval; return;
    case Unit::timespec:
      rest->how = wait->rest_replaces ? RestHow::programs_timespec : RestHow::own_timespec;
      if (!wait->rest_replaces && rest_at != 0) argument = rest_at;
      return;
  }
}

u64 forget_the_rest(pid_t pid, image::Thread* thread) {
  u64 deadline = 0;
  const auto args = arguments_of(thread->regs);
  const auto wait = timed_wait(thread->regs.rax, args.data());
  for (u32 i = 0; i < 6; ++i) {
    u64& pointer = argument_of(thread->regs, i);
    Rest rest;
    if (!is_place_of_rest(pointer) || !read_memory(pid, pointer, &rest, sizeof rest)) continue;
    if (wait && wait->argument == i) deadline = rest.deadline_ns;
    pointer = rest.original;
  }
  return deadline;
}

u64 noted_deadline_ns(pid_t pid, pid_t tid, u64 deadline_ns) {
  constexpr u64 kNear_ns = 20'000'000;
  Anchor anchor;
  if (!read_memory(pid, kAnchorAddress, &anchor, sizeof anchor) || anchor.magic != kAnchorMagic) return deadline_ns;
  for (u32 slot = 0; slot < std::min(anchor.slots_used, kMaxSlots); ++slot) {
    i32 owner = 0;
    Rest rest;
    if (!read_memory(pid, slot_address(slot), &owner, sizeof owner) || owner != tid) continue;
    if (!read_memory(pid, slot_address(slot) + kSlotRest, &rest, sizeof rest) || rest.how == RestHow::none) continue;
    if (rest.deadline_ns <= deadline_ns && deadline_ns - rest.deadline_ns < kNear_ns) return rest.deadline_ns;
  }
  return deadline_ns;
}

bool leave_wait_first(pid_t pid, u64 wait_first, user_regs_struct* r, u64* deadline_ns) {
  constexpr u64 kSyscallBytes = 2;
  const bool over = r->rip == wait_first + kSyscallBytes && static_cast<long>(r->rax) > -512;
  WaitFrame f;
  if ((r->rip != wait_first && r->rip != wait_first + kSyscallBytes) || !read_memory(pid, r->rsp, &f, sizeof f))
    return false;
  const u64 result = r->rax;
  r->rip = f.rip;
  r->rax = f.rax;
  r->rdi = f.rdi;
  r->rsi = f.rsi;
  r->rdx = f.rdx;
  r->r10 = f.r10;
  r->r8 = f.r8;
  r->rsp = f.rsp;
  r->orig_rax = ~0ull;
  if (!over) {
    *deadline_ns = f.deadline_ns;
  } else if (result == 0 || result == static_cast<u64>(-EINTR)) {
    r->rip += kSyscallBytes;
    r->rax = result == 0 ? f.over : result;
  }
  return true;
}

}  // namespace omig::host
