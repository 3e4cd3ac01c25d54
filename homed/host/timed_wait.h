// SPDX-License-Identifier: Apache-2.0
// Waits for a time that is given relative to now. A move cuts them, and they are issued again by registers that know
// only the whole time; so the moment at which the wait ends travels with the thread (image::Thread::sleep_deadline_ns),
// and whatever issues the call again has it wait for the rest:
//   a call that home executes: the host puts the rest into the message (forward.cpp); where a file's own time-out is
//     meant (a socket's SO_RCVTIMEO, a terminal's VTIME without VMIN), it cuts the call at its moment and answers what
//     the time-out would have.
//   a call of the guest's own kernel (futex, sigtimedwait): the tracer (waits.cpp)
//   a call at home: the engine, with what the mover or host says in the thread's slot (Rest, preload/engine/rest.cpp)
// Waits until an absolute time need none of this.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <functional>
#include <optional>

#include "lib/image/image.h"
#include "preload/engine/head.h"

namespace omig::host {

struct TimedWait {
  enum class Unit { milliseconds, timespec, timeval, file };
  Unit unit = Unit::milliseconds;
  u32 argument = 0;            // the time (milliseconds), a pointer to it, or the file that has one
  bool rest_replaces = false;  // interrupted, the kernel writes the time left over the time
  std::optional<u32> rest_at;  // the argument that says where the kernel writes the time left
  int option = 0;              // of a socket: which time-out
};

// Whether the call, if it waits, may wait for a relative time. `file` waits do so only if the descriptor is of a socket
// with such a time-out, or a read's of a terminal with one.
std::optional<TimedWait> timed_wait(u64 nr, const u64 args[6]);

using ReadMemory = std::function<bool(u64 from, void* to, u64 bytes)>;
// The time asked for; 0: none, or for ever. Not for files.
u64 time_asked_ns(const TimedWait& wait, const u64 args[6], const ReadMemory& read);
// Of process `pid`'s descriptor; 0: none.
u64 file_time_ns(pid_t pid, u64 fd, int option);

// A terminal's settings, as TCGETS has them.
struct TerminalSettings {
  u32 input_flags, output_flags, control_flags, local_flags;
  u8 line, characters[19];
};
static_assert(sizeof(TerminalSettings) == 36);
// For how long a read waits for the first character; 0: for ever, or not at all.
u64 terminal_time_ns(const TerminalSettings& settings);

std::array<u64, 6> arguments_of(const user_regs_struct& regs);
u64& argument_of(user_regs_struct& regs, u32 number);

// Makes a thread that issues its interrupted wait again at home wait only until its deadline; the engine brings `rest`,
// which is to be stored at `rest_at` in its slot, up to date. rest_at 0: there is no place for it, and only a time that
// stands in a register can be changed.
void wait_for_the_rest(image::Thread* thread, u64 now_ns, u64 rest_at, Rest* rest);
// The reverse, when it leaves home again: the program's own pointer back into the registers. If it waits there still,
// the moment at which that ends is returned, else 0.
u64 forget_the_rest(pid_t pid, image::Thread* thread);
// `deadline_ns`, found out by looking from outside, as exactly as the thread's own slot may know it from its last
// visit.
u64 noted_deadline_ns(pid_t pid, pid_t tid, u64 deadline_ns);
// A thread that the engine has poll first (WaitFrame) shows the call itself again, and when its time ends; or what the
// call has returned. False: it is not there.
bool leave_wait_first(pid_t pid, u64 wait_first, user_regs_struct* regs, u64* deadline_ns);

}  // namespace omig::host
