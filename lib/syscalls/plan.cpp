// SPDX-License-Identifier: Apache-2.0
#include "lib/syscalls/plan.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <cstdlib>

namespace omig::syscalls {
namespace {

constexpr u32 kMaxIovecs = 1024;  // UIO_MAXIOV
// Limits of one call's image, far above what kMaxTransfer and the row's shapes can add up to (128 + 64 MiB).
constexpr u64 kMaxImage = 512u << 20;

constexpr u32 align_up(u32 value, u32 align) { return (value + align - 1) & ~(align - 1); }

// Direct I/O wants buffers aligned to a disk's block: what the program aligned stays aligned at home.
u32 data_alignment(u64 pointer, u64 bytes) { return bytes >= 512 && pointer % 512 == 0 ? 512 : 16; }

}  // namespace

void Plan::begin(const Row& row, const u64 args[6], Memory& memory, Prepared* out) {
  memory_ = &memory;
  out_ = out;
  nr_ = row.nr;
  flags_ = 0;
  std::copy_n(args, 6, args_);
  segments_.clear();
  staging_.clear();
  links_.clear();
  outs_.clear();
  in_bytes_ = room_bytes_ = room_base_ = 0;
  room_align_ = 16;
  too_big_ = false;
  out->pieces.clear();
  out->error = 0;
  out->restart = row.restart;
}

Gathered Plan::fail(long error) {
  out_->error = error;
  return Gathered::error;
}

void Plan::point(Slot slot, Ref at) { links_.push_back({slot, at}); }

void Plan::set_word(Slot slot, u64 value) {
  if (slot.in_scratch) {
    put(Ref{slot.index}, value);
  } else {
    args_[slot.index] = value;
  }
}

bool Plan::passed(Slot slot, u64 pointer, u64 bytes) {
  if (pointer < kPageSize || pointer >= kUserTop) {
    set_word(slot, pointer);
    return true;
  }
  if (bytes > kUserTop - pointer) {
    set_word(slot, kBeyondUserSpace);
    return true;
  }
  return false;
}

Ref Plan::add_segment(u32 bytes, u32 align, u32 staged_at, u64 guest) {
  const u32 at = align_up(in_bytes_, align);
  if (u64{at} + bytes > kMaxImage) {
    too_big_ = true;
    return {};
  }
  segments_.push_back({at, bytes, staged_at, guest});
  in_bytes_ = at + bytes;
  return {at};
}

bool Plan::input(Slot slot, u64 pointer, u64 bytes, Ref* at, u32 align) {
  if (passed(slot, pointer, bytes)) return false;
  const Ref ref = bytes == 0 || bytes > kMaxImage
                      ? Ref{}
                      : add_segment(static_cast<u32>(bytes), align != 0 ? align : data_alignment(pointer, bytes),
                                    kNotStaged, pointer);
  if (bytes > kMaxImage) too_big_ = true;
  point(slot, ref);
  if (at != nullptr) *at = ref;
  return true;
}

bool Plan::fetch(Slot slot, u64 pointer, u64 bytes, Ref* at) {
  if (passed(slot, pointer, bytes)) return false;
  const std::size_t staged_at = staging_.size();
  staging_.resize(staged_at + bytes);
  if (!memory_->read(GuestAddr{pointer}, staging_.data() + staged_at, bytes)) {
    staging_.resize(staged_at);
    set_word(slot, kUnmapped);
    return false;
  }
  *at = add_segment(static_cast<u32>(bytes), 8, static_cast<u32>(staged_at), pointer);
  point(slot, *at);
  return true;
}

u64 Plan::fetch_prefix(Slot slot, u64 pointer, u64 bytes, Ref* at) {
  if (passed(slot, pointer, std::min<u64>(bytes, 1))) return 0;
  const std::size_t staged_at = staging_.size();
  staging_.resize(staged_at + bytes);
  u8* to = staging_.data() + staged_at;
  u64 readable = 0;
  if (memory_->read(GuestAddr{pointer}, to, bytes)) {
    readable = bytes;
  } else {
    while (readable < bytes) {
      const u64 from = pointer + readable;
      const u64 step = std::min(bytes - readable, page_down(from) + kPageSize - from);
      if (from >= kUserTop || !memory_->read(GuestAddr{from}, to + readable, step)) break;
      readable += step;
    }
    memset(to + readable, 0, bytes - readable);
  }
  if (readable == 0 && bytes != 0) {
    staging_.resize(staged_at);
    set_word(slot, kUnmapped);
    return 0;
  }
  *at = add_segment(static_cast<u32>(bytes), 8, static_cast<u32>(staged_at), pointer);
  point(slot, *at);
  return readable;
}

void Plan::string(Slot slot, u64 pointer, u32 most) {
  if (passed(slot, pointer, 1)) return;
  const std::size_t staged_at = staging_.size();
  u32 got = 0;
  bool ended = false;
  while (!ended && got < most) {
    // Most strings are short: a page's rest is asked for only when 256 bytes were not enough.
    const u64 from = pointer + got;
    const u64 to_page_end = page_down(from) + kPageSize - from;
    const u32 step = static_cast<u32>(std::min<u64>({most - got, to_page_end, got == 0 ? 256 : kPageSize}));
    staging_.resize(staged_at + got + step);
    if (from >= kUserTop || !memory_->read(GuestAddr{from}, staging_.data() + staged_at + got, step)) {
      staging_.resize(staged_at);
      set_word(slot, kUnmapped);
      return;
    }
    const void* nul = memchr(staging_.data() + staged_at + got, 0, step);
    ended = nul != nullptr;
    got = ended ? static_cast<u32>(static_cast<const u8*>(nul) - (staging_.data() + staged_at)) + 1 : got + step;
  }
  staging_.resize(staged_at + got);
  point(slot, add_segment(got, 8, static_cast<u32>(staged_at), pointer));
}

bool Plan::room(Slot slot, u64 pointer, u64 bytes, Ref* at, u32 align) {
  if (passed(slot, pointer, bytes)) return false;
  if (align == 0) align = data_alignment(pointer, bytes);
  room_align_ = std::max(room_align_, align);
  const u32 begin = align_up(room_bytes_, align);
  if (u64{begin} + bytes > kMaxImage) {
    too_big_ = true;
    return false;
  }
  room_bytes_ = begin + static_cast<u32>(bytes);
  *at = Ref{begin | kRoomBit};
  point(slot, *at);
  return true;
}

u8* Plan::staged(Ref at) {
  for (const Segment& segment : segments_) {
    if (segment.staged_at != kNotStaged && at.at >= segment.at && at.at < segment.at + segment.bytes) {
      return staging_.data() + segment.staged_at + (at.at - segment.at);
    }
  }
  abort();  // a bug in a row's code: only what was fetched can be looked at
}

u32 Plan::add_out(Ref at, u64 bytes, u32 unit, bool always, Ref length_at) {
  outs_.push_back({at.at, static_cast<u32>(bytes), unit, always ? 1u : 0u, length_at.at});
  return static_cast<u32>(outs_.size() - 1);
}

void Plan::add_piece(u32 out, u64 offset, u64 to, u64 bytes, i64 min_ret, bool whole) {
  out_->pieces.push_back({out, static_cast<u32>(offset), {GuestAddr{to}, bytes}, min_ret, whole});
}

void Plan::output(Ref at, u64 to, u64 bytes, u32 unit, bool always, Ref length_at) {
  add_piece(add_out(at, bytes, unit, always, length_at), 0, to, bytes);
}

void Plan::last_piece_is_optional() { out_->pieces.back().optional = true; }

void Plan::in_out(Slot slot, u64 pointer, u64 bytes, bool always) {
  Ref at;
  if (input(slot, pointer, bytes, &at)) output(at, pointer, bytes, 0, always);
}

void Plan::out(Slot slot, u64 pointer, u64 bytes, u32 unit) {
  Ref at;
  if (room(slot, pointer, bytes, &at)) output(at, pointer, bytes, unit);
}

Gathered Plan::iovecs(Slot slot, u64 pointer, u64 count, const DataOut* data, u64* total_out) {
  if (count == 0 || count > kMaxIovecs) {
    // The kernel judges the count before it looks at the array.
    if (!passed(slot, pointer, 16)) set_word(slot, kUnmapped);
    return Gathered::ready;
  }
  Ref array;
  if (!fetch(slot, pointer, count * sizeof(Span), &array)) return Gathered::ready;
  for (u32 i = 0; i < count; ++i) {
    // A negative length makes the whole call EINVAL: no data is sent, home's kernel says so.
    if (static_cast<i64>(get<Span>(array + i * 16).bytes) >= 0) continue;
    for (u32 j = 0; j < count; ++j) put(array + j * 16, kUnmapped);
    return Gathered::ready;
  }
  u64 total = 0;
  Ref begin;
  spans_.clear();
  for (u32 i = 0; i < count; ++i) {
    const Ref entry = array + i * 16;
    auto [base, bytes] = get<Span>(entry);
    if (bytes > kMaxTransfer - total) {
      if (data == nullptr) return Gathered::come_home;
      bytes = kMaxTransfer - total;
      put(entry + 8, bytes);
    }
    // One after the other without gaps, so that the result counts through all of them.
    Ref at;
    const u32 align = total == 0 ? 0 : 1;
    const bool there =
        data != nullptr ? room(word(entry), base, bytes, &at, align) : input(word(entry), base, bytes, &at, align);
    if (!there || bytes == 0) continue;
    if (total == 0) begin = at;
    total += bytes;
    spans_.push_back({base, bytes});
  }
  if (data != nullptr && total != 0) {
    const u32 out = add_out(begin, total, data->unit, false, data->length_at);
    u64 offset = 0;
    for (const Span& span : spans_) {
      add_piece(out, offset, span.base, span.bytes, data->min_ret);
      offset += span.bytes;
    }
  }
  if (total_out != nullptr) *total_out += total;
  return Gathered::ready;
}

// An input that was noted and turned out to be unreadable: home's kernel gets a bad pointer in its place, and nothing
// of it comes back.
void Plan::poison(std::size_t index) {
  Segment& segment = segments_[index];
  for (std::size_t i = 0; i < links_.size();) {
    const u32 target = links_[i].target.at;
    if (target < segment.at || target >= segment.at + segment.bytes) {
      ++i;
      continue;
    }
    set_word(links_[i].slot, kUnmapped);
    links_.erase(links_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (wire::Out& out : outs_) {
    if (out.offset >= segment.at && out.offset < segment.at + segment.bytes) out.bytes = 0;
  }
  segment.bytes = 0;
}

bool Plan::write_message() {
  const u32 needed = std::max<u32>(in_bytes_, 8);  // something to point at, also for a call without data
  room_base_ = align_up(needed, room_align_);
  const u64 tables =
      sizeof(wire::Frame) + sizeof(wire::Call) + links_.size() * sizeof(wire::Reloc) + outs_.size() * sizeof(wire::Out);
  Bytes& message = out_->message;
  message.resize(tables + in_bytes_);
  u8* input = message.data() + tables;
  u32 filled = 0;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const Segment& segment = segments_[i];
    memset(input + filled, 0, segment.at - filled);
    if (segment.staged_at != kNotStaged) {
      memcpy(input + segment.at, staging_.data() + segment.staged_at, segment.bytes);
    } else if (segment.bytes != 0 && !memory_->read(GuestAddr{segment.guest}, input + segment.at, segment.bytes)) {
      poison(i);
      return false;
    }
    filled = segment.at + segment.bytes;
  }
  memset(input + filled, 0, in_bytes_ - filled);

  wire::Frame frame{wire::Type::call, static_cast<u32>(message.size() - sizeof(wire::Frame)), 0};
  wire::Call call{.nr = nr_,
                  .flags = flags_,
                  .relocs = static_cast<u32>(links_.size()),
                  .outs = static_cast<u32>(outs_.size()),
                  .in_bytes = in_bytes_,
                  .scratch_bytes = room_base_ + room_bytes_};
  std::copy_n(args_, 6, call.args);
  u8* to = message.data();
  auto append = [&to](const auto& value) {
    memcpy(to, &value, sizeof(value));
    to += sizeof(value);
  };
  append(frame);
  append(call);
  for (const Link& link : links_) {
    const u32 where = link.slot.in_scratch ? resolve(Ref{link.slot.index}) | wire::kRelocScratch : link.slot.index;
    append(wire::Reloc{where, resolve(link.target)});
  }
  for (wire::Out out : outs_) {
    out.offset = resolve(Ref{out.offset});
    if (out.length_at != kNoLength) out.length_at = resolve(Ref{out.length_at});
    append(out);
  }
  return true;
}

Gathered Plan::finish() {
  if (too_big_) return Gathered::come_home;
  // Every failed try poisons one more segment, so this ends.
  while (!write_message()) {
  }
  return Gathered::ready;
}

}  // namespace omig::syscalls
