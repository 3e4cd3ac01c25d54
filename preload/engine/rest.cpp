// SPDX-License-Identifier: Apache-2.0
// A wait with a time-out that a move has cut short, about to be issued again at home by the thread's registers: how
// much is left of its time is known only now. (homed/host/timed_wait.h has the whole picture.)
//
// The time-out of a socket or terminal cannot be changed for one call. So the thread first polls for what is left
// (omig_wait_first, start.S), on a frame below its stack's red zone: if the file is ready, or was meanwhile, the call
// itself follows; if the time ends or a handler runs, the call has ended. A mover that finds a thread there takes the
// call out of the frame again.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

constexpr u64 kSecond_ns = 1'000'000'000ull, kMonotonic = 1;

u64 left_ns(u64 deadline_ns) {
  Timespec now{};
  sys(__NR_clock_gettime, kMonotonic, addr(&now));
  const u64 now_ns = static_cast<u64>(now.seconds) * kSecond_ns + static_cast<u64>(now.nanoseconds);
  return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

u64& argument_of(SignalFrame& frame, u32 number) {
  switch (number) {
    case 0: return frame.rdi;
    case 1: return frame.rsi;
    case 2: return frame.rdx;
    case 3: return frame.r10;
    case 4: return frame.r8;
    default: return frame.r9;
  }
}

bool sends(u64 nr) {
  return nr == __NR_write || nr == __NR_writev || nr == __NR_sendto || nr == __NR_sendmsg || nr == __NR_connect;
}

// What the call returns when the time is over.
u64 over(const SignalFrame& f) {
  if (f.rax == __NR_connect) return static_cast<u64>(-EINPROGRESS);
  constexpr u64 kGetSettings = 0x5401;  // TCGETS
  u8 settings[64];
  const bool terminal =
      (f.rax == __NR_read || f.rax == __NR_readv) && !failed(sys(__NR_ioctl, f.rdi, kGetSettings, addr(&settings)));
  return terminal ? 0 : static_cast<u64>(-EAGAIN);
}

}  // namespace

void renew_rest(SlotBlock& b) {
  Rest& rest = rest_of(b);
  if (rest.how == RestHow::none) return;
  u64& argument = argument_of(frame_of(b), rest.argument);
  const u64 left = left_ns(rest.deadline_ns);
  const u64 unit = rest.how == RestHow::programs_timeval ? 1'000 : 1;
  rest.seconds = left / kSecond_ns;
  rest.nanoseconds = left % kSecond_ns;
  if (rest.how == RestHow::milliseconds) argument = (left + 999'999) / 1'000'000;
  if (rest.how != RestHow::programs_timespec && rest.how != RestHow::programs_timeval) return;
  const u64 time[2] = {rest.seconds, rest.nanoseconds / unit};  // by the kernel: the program's pointer may be bad
  const Vector from{time, sizeof time}, to{reinterpret_cast<const void*>(argument), sizeof time};
  sys(__NR_process_vm_writev, sys(__NR_getpid), addr(&from), 1, addr(&to), 1, 0);
}

void wait_first(SlotBlock& b) {
  const Rest& rest = rest_of(b);
  if (rest.how != RestHow::file) return;
  SignalFrame& f = frame_of(b);
  const u64 at = wait_frame_at(f.rsp);
  WaitFrame wait;
  wait.rip = f.rip;
  wait.rax = f.rax;
  wait.rdi = f.rdi;
  wait.rsi = f.rsi;
  wait.rdx = f.rdx;
  wait.r10 = f.r10;
  wait.r8 = f.r8;
  wait.rsp = f.rsp;
  wait.over = over(f);
  wait.seconds = rest.seconds;
  wait.nanoseconds = rest.nanoseconds;
  wait.deadline_ns = rest.deadline_ns;
  wait.fd = static_cast<i32>(f.rdi);
  wait.events = sends(f.rax) ? kPollOut : kPollIn;
  wait.revents = 0;
  const Vector from{&wait, sizeof wait}, to{reinterpret_cast<const void*>(at), sizeof wait};
  if (sys(__NR_process_vm_writev, sys(__NR_getpid), addr(&from), 1, addr(&to), 1, 0) != sizeof wait) return;
  f.rax = __NR_ppoll;
  f.rdi = at + offsetof(WaitFrame, fd);
  f.rsi = 1;
  f.rdx = at + offsetof(WaitFrame, seconds);
  f.r10 = 0;
  f.r8 = 8;
  f.rsp = at;
  f.rip = addr(omig_wait_first);
}

}  // namespace omig::engine
