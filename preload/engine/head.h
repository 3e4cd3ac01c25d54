// SPDX-License-Identifier: Apache-2.0
// The engine's table of contents, at a fixed place in its image, so that hosted code needs no symbol table to use it.
#pragma once

#include "lib/image/anchor.h"

namespace omig {

inline constexpr u64 kEngineHeadAddress = kEngineBase + 0x1000;
// Where every forwarded call is made, in any version (engine.ld).
inline constexpr u64 kCallSyscallAddress = kEngineBase + 0x1140;
// The mark, and above it the version: what moves a program must know exactly the engine that the program has loaded.
inline constexpr u64 kEngineHeadMark = 0x656847494d4f, kEngineHeadMarkMask = 0xffffffffffff;
inline constexpr u64 kEngineHeadMagic = kEngineHeadMark | static_cast<u64>(wire::kVersion) << 48;

struct EngineHead {
  u64 magic;
  u64 gadget;        // address of a `syscall` instruction; the filter knows it (address + 2 is what BPF sees)
  u64 depart_entry;  // rdi = slot, rsp = that slot's stack top - 8: a frozen thread is diverted here
  u64 batch_entry;   // rdi = BatchOp*, rsi = count, rsp = any 16-aligned stack of 4 KiB: runs them, then int3
  u64 clone_thread;  // batch helper: rdi = ThreadStart*, rsp as above: clone3 with set_tid, child parks in int3, then
                     // int3
  u64 image_end;
  u64 finish_write;  // a thread that resumes at home in the middle of a write waits here, see FinishFrame
  u64 wait_first;    // a thread that resumes at home in a wait for a socket polls here, see WaitFrame
  u64 home_gadget;   // another `syscall`, for movers at home: rt_sigreturn follows, with the frame that rsp names
};

constexpr u32 version_of(const EngineHead& head) { return static_cast<u32>(head.magic >> 48); }

// One raw syscall of a batch. The batch stops at the first that fails unless it may.
struct BatchOp {
  i64 nr;
  u64 args[6];
  i64 ret;
  u64 may_fail;
};

// For clone_thread: the new thread starts with rsp = stack and executes int3 at once (its tracer takes it from there).
struct ThreadStart {
  i32 tid;  // wanted tid in the guest's pid namespace
  u32 reserved;
  u64 stack;  // 16-aligned top
  i64 ret;    // clone3's result
};

// On the program's stack, below its red zone, while the rest of a write that a move has cut short is written at home:
// the call's result must be that of the whole.
struct FinishFrame {
  u64 done_bytes;
  u64 rip;  // where the call returns to
  u64 rsi, rdx, rsp;
};
inline constexpr u64 kRedZoneBytes = 128;

// At kSlotRest: a wait with a time-out that was cut short, and that the thread issues again at home (rest.cpp).
enum class RestHow : u32 {
  none = 0,
  milliseconds = 1,       // the time stands in a register
  own_timespec = 2,       // the register points here: seconds, nanoseconds
  programs_timespec = 3,  // the register points to the program's own, which the kernel changes anyway
  programs_timeval = 4,
  file = 5,  // SO_RCVTIMEO or SO_SNDTIMEO of the socket, or VTIME of the terminal, in rdi
};
struct Rest {
  u64 seconds, nanoseconds;
  u64 original;     // what stood in the register
  u64 deadline_ns;  // CLOCK_MONOTONIC of home
  RestHow how;
  u32 argument;  // which register, 0..5
};

constexpr u64 finish_frame_at(u64 rsp) { return (rsp - kRedZoneBytes - sizeof(FinishFrame)) & ~15ull; }

// On the program's stack, below its red zone, while a thread waits for what is left of a file's time-out (rest.cpp).
// start.S knows the order.
struct WaitFrame {
  u64 rip;  // of the call's `syscall`
  u64 rax, rdi, rsi, rdx, r10, r8, rsp;
  u64 over;  // what the call returns when the time is over
  u64 seconds, nanoseconds;
  u64 deadline_ns;  // CLOCK_MONOTONIC of home
  i32 fd;           // a pollfd
  std::int16_t events, revents;
};
constexpr u64 wait_frame_at(u64 rsp) { return (rsp - kRedZoneBytes - sizeof(WaitFrame)) & ~15ull; }

// A slot's window (see anchor.h for where it is).
inline constexpr u64 kSlotRest = 0xf80;    // the rest of a sleep cut short
inline constexpr u64 kSlotFrame = 0x1000;  // saved signal frame
inline constexpr u64 kSlotStackTop = 0x10000;
inline constexpr u64 kSlotScratch = 0x10000;                            // 64 KiB at first
inline constexpr u64 kSlotSeals = 0x20000;                              // keys of the present link and of the next one
inline constexpr u64 kSlotIncoming = 0x21000, kSlotOutgoing = 0x32000;  // records
inline constexpr u64 kRecordRoom = 0x11000;
inline constexpr u64 kSlotBigScratch = 0x100000;  // larger scratch is mapped here on demand
inline constexpr u64 kSlotBigKept = 0xa000000;    // and here records that the host has not opened yet

constexpr u64 slot_address(u32 slot) { return kSlotsAddress + slot * kSlotWindow; }

// First page of a slot. The mover (homed/host/depart.cpp) fills the first part before it diverts the thread.
struct SlotBlock {
  i32 tid;
  u32 in_use;
  u64 rseq;
  u32 rseq_bytes;
  u32 rseq_signature;
  u64 robust_list;
  u64 robust_bytes;
  u64 clear_child_tid;
  // the engine's own
  i32 link_fd;  // the engine's own links are noted as descriptor + 1: -1 from the mover and 0 both mean none
  u32 slot;
  u64 abort_seq;
  u64 last_seq;
  u64 scratch;
  u64 scratch_bytes;
  u32 input_used;   // of the incoming buffer: where the plain bytes end
  u32 input_taken;  // and where those begin that are not consumed
  // Engine only, zeroed by whoever makes the slot.
  i32 next_link_fd;    // + 1: link to another node while relinking
  u32 relinks;         // moves to other nodes this deputy has taken part in
  i32 write_error;     // first errno of write_memory on this link since the last resume_state
  u32 taken_off;       // kernel registrations that depart_entry took off (Registration bits)
  u32 has_resume;      // resume_state arrived
  u32 resume_threads;  // that resume together
  u64 fs_base;
  u64 gs_base;
  wire::CutShort cut_short;  // the mover's: what the frame's registers are about to do
  u64 done_bytes;            // the mover's
  // A signal that was sent to this thread alone, on its way to the ear (directed.cpp).
  u32 directed_state;  // Directed
  u64 directed_mask;   // which to take
  // Order of signals and replies (call.cpp).
  u64 left_pending;  // seen pending, and not for the ear
  u32 signals_told;  // Private::signals_sent as of the last reply
  u8 directed_info[wire::kSiginfoBytes];
  u32 raw_begin, raw_end;  // of the incoming buffer: what has come and is still sealed
  // Records that have been sent and that the host may not have opened (link.cpp).
  u64 kept;        // where they are
  u64 kept_room;   // bytes there
  u64 kept_bytes;  // that they have
  u64 kept_first;  // the first one's number
  u32 opened;      // records that the host has opened, as it says
  u32 attempts;    // to make the link's connection again
};
static_assert(sizeof(SlotBlock) <= kSlotRest);

}  // namespace omig
