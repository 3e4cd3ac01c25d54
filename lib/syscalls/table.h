// SPDX-License-Identifier: Apache-2.0
// The one table of syscalls. Everything that knows a syscall number looks it up here or is generated from it: the
// seccomp program (filter.h), the forwarder's marshalling (marshal.h), docs/SYSCALLS.md, test skeletons.
// A new kernel call is one new row. A number without a row comes home: the default that is never wrong.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "lib/base/types.h"

namespace omig::syscalls {

// Where a call of a guest is executed.
enum class Route : u8 {
  local,      // by the visited node's kernel, never seen by the host
  home,       // by the deputy, marshalled by its shapes alone
  traced,     // stopped by ptrace before it is executed: fork and clone, whose child needs its number from home
  special,    // notified; the host knows more about it (homed/host/special.cpp), the note says what
  come_home,  // the process comes home first, executes it there, and may leave again
  absent,     // answered -ENOSYS, as by a kernel without it; programs have a fallback (io_uring_setup, clone3)
};

// What the kernel does when a signal interrupts the call (KERNEL.md 2, SIGNALS.md): decides how a freeze or a
// signal treats a call that was interrupted at home.
enum class Restart : u8 {
  never,         // cannot be interrupted: never kicked
  restartable,   // -ERESTARTSYS: SA_RESTART decides
  no_hand,       // -ERESTARTNOHAND: EINTR whenever a handler ran, else restarted (poll, select, pause)
  always_eintr,  // EINTR whenever a handler ran; also after a stop (epoll_wait, sem*, sockets with timeouts)
  block,         // -ERESTART_RESTARTBLOCK: relative time-outs
};

// The shape of one argument. Sizes may be fixed or taken from other arguments.
enum class ShapeKind : u8 {
  value,    // a number, passed as it is
  fd,       // a descriptor at home (documentation; passed as it is)
  path,     // NUL-terminated string in, at most 4096 bytes
  string,   // NUL-terminated string in, at most `size` bytes
  in,       // `size` bytes in
  out,      // `size` bytes out
  in_out,   // `size` bytes both ways
  in_len,   // bytes in, count given by argument `len_arg`; `size`: the kernel refuses more (0: kMaxTransfer, then home)
  out_len,  // bytes out: as many as the result says, at most argument `len_arg`; `size`: the kernel never writes more
            // (0: the argument is cut to kMaxTransfer)
  out_cap,  // bytes both ways: all of argument `len_arg`, at most `size`, whatever the result
  array_in,
  array_out,
  array_in_out,  // count in argument `len_arg`, elements of `size` bytes
  iov_in,
  iov_out,  // iovec array, count in argument `len_arg`
  msghdr_in,
  msghdr_out,  // sendmsg / recvmsg
  mmsghdr_in,
  mmsghdr_out,      // sendmmsg / recvmmsg
  sockaddr_in,      // bytes in, length argument `len_arg`
  sockaddr_out,     // bytes out, u32 length in and out behind argument `len_arg`
  length_io,        // that u32 (handled with its sockaddr_out / optval)
  out_if_positive,  // `size` bytes out, written only when the result is positive (wait4)
  in_out_always,    // as in_out, and written back also when the call failed (select's timeval)
  special,          // by code for this row (ioctl, fcntl, select, ...)
};

struct Shape {
  ShapeKind kind = ShapeKind::value;
  u8 len_arg = 0;
  u32 size = 0;
};

// What a call that home executes does that matters if the program goes on from an older image of itself
// (docs/PROTOCOL.md, Protection). An open counts as `opens` only if nothing can be written through it.
enum class Effect : u8 { some, none, reads, opens, closes };

struct Row {
  u32 nr = 0;
  std::string_view name;
  Route route = Route::come_home;
  Restart restart = Restart::never;
  std::array<Shape, 6> args{};
  std::string_view note;  // a sentence where something is special
  Effect effect = Effect::some;
};

// All rows, sorted by number.
std::span<const Row> rows();
// nullptr when there is none: come home.
const Row* find(u32 nr);
// Whether the guest's filter sends this call to the host (the same predicate as filter.h builds, arguments included;
// SIGNALS.md "weak spots").
bool notified(u32 nr, const u64 args[6]);

}  // namespace omig::syscalls
