// SPDX-License-Identifier: Apache-2.0
// The anchor: the one struct of the engine that others may read, at a fixed address in every process that ever left.
//
// It is how anybody finds out where a process is without asking a daemon: homed reads it with process_vm_readv, also
// after homed was restarted. A process that never left has nothing mapped at the address. The engine's own address
// range is excluded from everything that is shipped, at home and away.
#pragma once

#include "lib/base/types.h"
#include "lib/wire/link.h"

namespace omig {

// Above what programs ask for by themselves at random addresses (V8: below 2^46), below where the kernel puts programs.
inline constexpr u64 kEngineBase = 0x480000000000;     // where the engine's image is linked
inline constexpr u64 kAnchorAddress = 0x480000100000;  // one page, read-write
inline constexpr u64 kSlotsAddress =
    0x480100000000;                             // slot i has the window [kSlotsAddress + i * kSlotWindow, +kSlotWindow)
inline constexpr u64 kSlotWindow = 0x10000000;  // 256 MiB of address space: block, stack, scratch
inline constexpr u32 kMaxSlots = 1024;          // threads of one process that may be away together
// Files that the guest maps while it is away are mapped here at home, too, so that they are there when it comes back
// (image.h, Pin).
inline constexpr u64 kPinsAddress = kSlotsAddress + (kMaxSlots + 1) * kSlotWindow;
inline constexpr u64 kPinsBytes = 1ull << 38;
inline constexpr u64 kEngineEnd = kPinsAddress + kPinsBytes;
inline constexpr u64 kSlotMapped = 0x43000;  // bytes of a slot that are mapped at first: block, frame, stack, records
inline constexpr u64 kAnchorMagic = 0x726f68636e61474f;

enum class Where : u32 {
  home = 0,       // runs natively
  departing = 1,  // frozen, being shipped; runs at home if that fails
  away = 2,       // this process is a deputy
  returning = 3,
};

struct Anchor {
  u64 magic = kAnchorMagic;
  u32 version = wire::kVersion;
  Where where = Where::home;
  u32 moves = 0;            // completed moves, coming home included
  u32 slots_used = 0;       // high-water mark
  char node[32] = {};       // where the guest is, by name (away only)
  u8 host_address[4] = {};  // IPv4 of the node it visits
  u32 host_port = 0;        // the host's link port; homed commands the host there
  u8 token[wire::kTokenBytes] = {};
  char came_home_for[96] = {};  // why it last came home by itself, as a host has written it; empty: it was told to
  u32 patience_s = 0;           // for how long a broken link is made again (wire::Hello)
  u32 images = 0;               // that home was given since it left; the state in which it left is the first
  // From here on: the engine's own (preload/engine/state.h), nobody else reads it.
  u64 engine_private[383] = {};
  // What came later stands at the end, where older engines have nothing (lib/wire/versions.h).
  u32 multipath = 0;  // its links are MPTCP, where both nodes have it
  u32 reserved = 0;
};
static_assert(sizeof(Anchor) <= kPageSize);

}  // namespace omig
