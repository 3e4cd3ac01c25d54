// SPDX-License-Identifier: Apache-2.0
// The strong types that keep "there" and "here" apart. Freestanding: the engine uses them too.
//
// A number that names something on another node (an address in the guest, an fd at home, a tid seen from inside a
// namespace) never travels as a raw integer between our functions: mixing them up compiles with raw integers and
// kills somebody's program at run time.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace omig {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

// An address in the program's address space: the same number at home and away, never dereferenced by us.
struct GuestAddr {
  u64 value = 0;
  constexpr GuestAddr operator+(u64 bytes) const { return {value + bytes}; }
  constexpr u64 operator-(GuestAddr other) const { return value - other.value; }
  constexpr auto operator<=>(const GuestAddr&) const = default;
};

// The pid or tid a thread has at home, which is also what it sees itself on the visited node.
struct HomeTid {
  i32 value = 0;
  constexpr auto operator<=>(const HomeTid&) const = default;
};

// The tid of a guest thread as the visited node's host process sees it (outside the guest's pid namespace).
struct HostTid {
  i32 value = 0;
  constexpr auto operator<=>(const HostTid&) const = default;
};

// A descriptor number in the deputy's table at home; the guest uses the same number.
struct HomeFd {
  i32 value = -1;
  constexpr auto operator<=>(const HomeFd&) const = default;
};

inline constexpr u64 kPageSize = 4096;
constexpr u64 page_down(u64 x) { return x & ~(kPageSize - 1); }
constexpr u64 page_up(u64 x) { return page_down(x + kPageSize - 1); }

}  // namespace omig
