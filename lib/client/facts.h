// SPDX-License-Identifier: Apache-2.0
// What homed's answers (docs/JSON.md) mean in the units that openMosix' tools and files had, and as errnos: shared by
// the C library and omigfs. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/types.h"
#include "lib/client/client.h"

namespace omig {

// The bits of a node's status.
inline constexpr u32 kStatusUp = 1;        // there are fresh news of it, and it speaks our version
inline constexpr u32 kStatusBlock = 2;     // guests that schedulers send may not arrive
inline constexpr u32 kStatusStay = 4;      // no process leaves by itself
inline constexpr u32 kStatusLstay = 8;     // its own processes do not leave by themselves
inline constexpr u32 kStatusQuiet = 16;    // it does not tell others its load
inline constexpr u32 kStatusVersion = 32;  // it speaks another version of the protocol

struct NodeFacts {
  u32 id = 0;
  std::string name, endpoint;
  bool self = false;
  u32 status = 0;       // of the bits above; stay and lstay only with its settings (with_settings)
  i32 load = 0;         // 100 = one runnable thread per reference CPU
  i32 speed = 0;        // of one CPU; 10000 = the reference
  double cpus = 0;      // fractional: a quota counts
  i32 utilisation = 0;  // percent of its CPUs, 0 to 100
  u64 free_bytes = 0, real_free_bytes = 0, total_bytes = 0;
  u32 guests = 0, away = 0;
  i64 age_ms = 0;

  bool up() const { return (status & kStatusUp) != 0; }
};

// Of one object of `nodes`.
NodeFacts facts_of(const Json& node);
// `settings` as the op of that name tells them.
u32 with_settings(u32 status, const Json& settings);

// The node that is meant by a number, a name, an address ("10.77.0.2") or "" (the one that answers), in the answer to
// `nodes`; nullptr: none.
const Json* node_named(const Json& answer, std::string_view name);

// What an answer with "ok": false says, as an errno: ESRCH no such process, ENXIO no such node, EHOSTUNREACH the node
// is down or does not answer, EPERM not allowed, EAGAIN busy, EINVAL not a value, ENOSYS this homed does not know the
// request, ECANCELED everything else: it was declined, and the reason says why.
int errno_of_refusal(const Json& answer);

}  // namespace omig
