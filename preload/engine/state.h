// SPDX-License-Identifier: Apache-2.0
// The engine's only writable memory: the anchor page and the slots.
#pragma once

#include "lib/image/anchor.h"
#include "lib/wire/link.h"
#include "preload/engine/head.h"
#include "preload/engine/sys.h"

namespace omig::engine {

// How far a change of place has got; every thread waits for the next value with a futex.
enum Phase : u32 {
  kUndecided = 0,  // departing: frozen state kept, the host has not confirmed
  kCommitted = 1,  // the guest runs; this process is its deputy
  kRolledBack = 2, // the move failed: every thread goes on from the state kept
  kGo = 3,         // coming home: all state is here
  kEarGone = 4,    // ... and no more aborts can come
  kResume = 5,     // ... and the program's own signal actions are back
};

struct Private {
  u32 phase;
  u32 leader_slot;
  u32 ear_tid;       // cleared by the kernel when the ear is gone (futex)
  i32 ear_fd;
  i32 signal_fd;
  u32 threads;       // that take part in the change of place
  u32 arrived;       // barrier count
  u32 ready;         // threads that hold their state to resume
  u32 relink_result; // 0 undecided, 1 moved, 2 stays
  u32 lost_announced;
  u64 excluded;      // signals left pending at home
  wire::Relink relink;
};
static_assert(sizeof(Private) <= sizeof(Anchor::engine_private));

inline Anchor& anchor() { return *reinterpret_cast<Anchor*>(kAnchorAddress); }
inline Private& state() { return *reinterpret_cast<Private*>(anchor().engine_private); }
inline SlotBlock& block(u32 slot) { return *reinterpret_cast<SlotBlock*>(slot_address(slot)); }
inline constexpr u32 kEarSlot = kMaxSlots;

// link.cpp: streams. All return 0 or a negative errno; kClosed means the peer is gone.
inline constexpr long kClosed = -ECONNRESET;
long open_link(wire::Role role, u32 slot, const u8* address, u32 port, const u8* token, const void* extra, u32 extra_bytes);
long send_all(int fd, const void* bytes, u64 count, u32 flags = 0);
long recv_exact(SlotBlock& b, void* bytes, u64 count);  // through the slot's buffered reader
long send_reply(SlotBlock& b, u64 seq, i64 ret, u32 flags = 0);
void close_link(SlotBlock& b);

// deputy.cpp
[[noreturn]] void serve(u32 slot);
void become_deputy(SlotBlock& b);  // kernel registrations off, abort handler, mask
[[noreturn]] void lost();          // the guest is gone with its node: end the process, say so
wire::ThreadExtra thread_extra();
long ensure_scratch(SlotBlock& b, u64 bytes);

// call.cpp
long serve_call(SlotBlock& b, u64 seq);
void install_abort_handler();

// family.cpp
long serve_fork(SlotBlock& b, u64 seq);
long serve_new_thread(SlotBlock& b, u64 seq);
long serve_exec(SlotBlock& b, u64 seq, u32 bytes);
long start_thread(u32 slot, void (*entry)(u64), u64 flags, u32* clear_tid);

// home.cpp
long serve_resume_state(SlotBlock& b, u64 seq, u32 bytes);
[[noreturn]] void resume_from_frame(SlotBlock& b);
[[noreturn]] void roll_back(SlotBlock& b);
long serve_relink(SlotBlock& b, u64 seq);

// ear.cpp
long start_ear();
void stop_ear();

}  // namespace omig::engine
