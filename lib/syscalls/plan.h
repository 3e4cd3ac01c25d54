// SPDX-License-Identifier: Apache-2.0
// A call under construction.
//
// The engine at home gets a scratch image and a list of places in it that must hold addresses (lib/wire/link.h). A Plan
// lays that image out: inputs first, in the order they are asked for, then room for outputs. Small inputs (structures
// that must be looked at, strings) are staged at once; data is only noted and read from the guest straight into the
// message at the end, when the sizes of the tables in front of it are known.
//
// Pointers. The kernel's own answer to a bad pointer depends on the call, the descriptor and the order of its checks,
// so nothing here answers EFAULT by itself if it can be avoided: home's kernel is given a pointer that is bad in the
// same way. NULL, the first page and addresses beyond user space are the same everywhere and pass unchanged; a buffer
// that would reach beyond user space becomes kBeyondUserSpace; an input that cannot be read becomes kUnmapped. A
// guest's number never travels as a pointer otherwise: at home it would be the deputy's memory. What cannot be known
// without touching it is whether an output can be written: then the call is executed and EFAULT is answered afterwards,
// as far as POSIX lets a program tell the difference.
#pragma once

#include <vector>

#include "lib/syscalls/marshal.h"

namespace omig::syscalls {

inline constexpr u64 kUserTop = 0x7ffffffff000;  // TASK_SIZE_MAX of x86-64 with four page-table levels
inline constexpr u64 kBeyondUserSpace = 0xffff800000000000;
inline constexpr u64 kUnmapped = 0x1000;  // below vm.mmap_min_addr, never mapped

// A place in the scratch image: inputs count from 0, room for outputs from kRoomBit (it lies behind the inputs).
struct Ref {
  u32 at = 0;
  constexpr Ref operator+(u32 bytes) const { return {at + bytes}; }
};
inline constexpr u32 kRoomBit = 0x40000000;

// Where an address goes: an argument, or eight bytes of something staged.
struct Slot {
  bool in_scratch = false;
  u32 index = 0;
};
constexpr Slot argument(u32 index) { return {false, index}; }
constexpr Slot word(Ref at) { return {true, at.at}; }

inline constexpr u32 kNoLength = ~0u;

class Plan {
 public:
  void begin(const Row& row, const u64 args[6], Memory& memory, Prepared* out);
  Gathered finish();

  Memory& memory() { return *memory_; }
  u32 nr() const { return nr_; }
  u64 arg(u32 index) const { return args_[index]; }
  void set_arg(u32 index, u64 value) { args_[index] = value; }
  void set_flags(u32 flags) { flags_ |= flags; }
  void set_restart(Restart restart) { out_->restart = restart; }
  // Ends the row's code with an answer of our own.
  Gathered fail(long error);

  // Makes `slot` point at a copy of guest bytes; `at`, if given, learns where they lie. False: `slot` holds a bad (or
  // NULL) pointer now, and there is nothing to scatter to it.
  bool input(Slot slot, u64 pointer, u64 bytes, Ref* at = nullptr, u32 align = 0);
  // The same, copied at once, so that it can be looked at and changed through staged().
  bool fetch(Slot slot, u64 pointer, u64 bytes, Ref* at);
  // The same for a structure whose readable part may be shorter: the rest is zero. Returns how much was readable; 0:
  // bad.
  u64 fetch_prefix(Slot slot, u64 pointer, u64 bytes, Ref* at);
  void string(Slot slot, u64 pointer, u32 most);
  // Makes `slot` point at room for output.
  bool room(Slot slot, u64 pointer, u64 bytes, Ref* at, u32 align = 0);
  u8* staged(Ref at);
  template <typename T>
  T get(Ref at) {
    T value;
    __builtin_memcpy(&value, staged(at), sizeof(T));
    return value;
  }
  template <typename T>
  void put(Ref at, T value) {
    __builtin_memcpy(staged(at), &value, sizeof(T));
  }

  // What the reply shall carry, and where it goes. `to` may be several pieces of the same output.
  u32 add_out(Ref at, u64 bytes, u32 unit = 0, bool always = false, Ref length_at = {kNoLength});
  // `whole`: what is staged there was changed by put(), so the guest's own bytes are not known.
  void add_piece(u32 out, u64 offset, u64 to, u64 bytes, i64 min_ret = INT64_MIN, bool whole = false);
  void output(Ref at, u64 to, u64 bytes, u32 unit = 0, bool always = false, Ref length_at = {kNoLength});
  // The kernel does not mind if the piece that was added last cannot be written.
  void last_piece_is_optional();

  // The usual shapes, for rows written as code.
  void in_out(Slot slot, u64 pointer, u64 bytes, bool always = false);
  void out(Slot slot, u64 pointer, u64 bytes, u32 unit = 0);
  // How much of an iovec array's data the reply carries.
  struct DataOut {
    u32 unit = 1;                 // as the result says
    Ref length_at = {kNoLength};  // or as a u32 in scratch says
    i64 min_ret = INT64_MIN;
  };
  // An iovec array and its data. For output (`data` given) it is cut to kMaxTransfer; more input than that comes home.
  // `total`, if given, learns the sum.
  Gathered iovecs(Slot slot, u64 pointer, u64 count, const DataOut* data, u64* total = nullptr);

  void point(Slot slot, Ref at);
  void set_word(Slot slot, u64 value);
  // True when `pointer` is of a kind that passes unchanged (or is bad by its range); the slot holds it then.
  bool passed(Slot slot, u64 pointer, u64 bytes);

 private:
  struct Segment {
    u32 at;  // scratch offset
    u32 bytes;
    u32 staged_at;  // in staging_, or kNotStaged
    u64 guest;
  };
  struct Link {
    Slot slot;
    Ref target;
  };
  static constexpr u32 kNotStaged = ~0u;

  struct Span {
    u64 base, bytes;
  };
  Ref add_segment(u32 bytes, u32 align, u32 staged_at, u64 guest);
  u32 resolve(Ref at) const { return (at.at & kRoomBit) != 0 ? room_base_ + (at.at & ~kRoomBit) : at.at; }
  bool write_message();
  void poison(std::size_t segment);

  Memory* memory_ = nullptr;
  Prepared* out_ = nullptr;
  u32 nr_ = 0;
  u32 flags_ = 0;
  u64 args_[6] = {};
  std::vector<Segment> segments_;
  Bytes staging_;
  std::vector<Link> links_;
  std::vector<wire::Out> outs_;
  std::vector<Span> spans_;
  u32 in_bytes_ = 0;
  u32 room_bytes_ = 0;
  u32 room_align_ = 16;
  u32 room_base_ = 0;
  bool too_big_ = false;
};

// The rows that are code (ShapeKind::special). Each returns what gather() returns, without finish().
Gathered gather_special(const Row& row, Plan& plan);
bool changes_terminal(u64 request);          // a background process is stopped by it (SIGTTOU)
bool gather_ioctl(u64 request, Plan& plan);  // false: unknown, come home (ioctls.cpp)

// The requests that are served by name, for the documentation.
struct IoctlNames {
  std::string_view title;
  std::vector<std::string_view> names;
};
std::vector<IoctlNames> ioctl_names();
Gathered gather_message(Plan& plan, u32 index, bool is_output);  // messages.cpp
Gathered gather_messages(Plan& plan, u32 index, u32 count_index, bool is_output);
void gather_address_in(Plan& plan, u32 index, u64 bytes);
void gather_address_out(Plan& plan, u32 index, u32 length_index);
Gathered gather_get_option(Plan& plan);
Gathered gather_set_option(Plan& plan);
Gathered gather_files(u32 nr, Plan& plan);   // special_files.cpp
Gathered gather_system(u32 nr, Plan& plan);  // special_system.cpp

}  // namespace omig::syscalls
