// SPDX-License-Identifier: Apache-2.0
// Records on the slot's present link: what is sent is sealed and kept until the host has opened it, what comes is
// opened once. A connection that breaks under it is made again (link.cpp), and what is kept is sent again.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

constexpr u64 kBigKeptRoom = kSlotWindow - kSlotBigKept;

u8* incoming(SlotBlock& b) { return reinterpret_cast<u8*>(addr(&b) + kSlotIncoming); }
constexpr u64 kHeadBytes = sizeof(wire::RecordHead);
constexpr u64 record_bytes(u64 plain) { return kHeadBytes + plain + wire::kTagBytes; }
static_assert(record_bytes(wire::kMaxRecord) <= kRecordRoom);

// Hands out at most `wanted` bytes that are there in plain.
u64 take_buffered(SlotBlock& b, u64 wanted, const u8** from) {
  const u64 have = b.input_used - b.input_taken;
  const u64 count = have < wanted ? have : wanted;
  *from = incoming(b) + b.input_taken;
  b.input_taken += static_cast<u32>(count);
  return count;
}

u64 bytes_of_record(const u8* at) {
  wire::RecordHead head;
  memcpy(&head, at, sizeof head);
  return head.bytes == 0 || head.bytes > wire::kMaxRecord ? ~0ull : record_bytes(head.bytes);
}

// Bytes of the record that begins at raw_begin: 0 if its head has not come yet, all ones if it is nonsense.
u64 record_there(SlotBlock& b) {
  return b.raw_end - b.raw_begin < kHeadBytes ? 0 : bytes_of_record(incoming(b) + b.raw_begin);
}

// The next record in plain; all of the last one has been taken.
long fill(SlotBlock& b) {
  u8* const buffer = incoming(b);
  for (;;) {
    const u64 bytes = record_there(b);
    if (bytes == ~0ull) return -EPROTO;
    if (bytes != 0 && bytes <= b.raw_end - b.raw_begin) {
      wire::RecordHead head;
      memcpy(&head, buffer + b.raw_begin, sizeof head);
      const u32 at = b.raw_begin + static_cast<u32>(kHeadBytes);
      b.raw_begin += static_cast<u32>(bytes);
      if (!unseal(seals_of(b).in, head, buffer + at)) return -EBADMSG;
      b.opened = head.received;
      b.input_taken = at;
      b.input_used = at + head.bytes;
      return 0;
    }
    if (b.raw_begin != 0) memmove(buffer, buffer + b.raw_begin, b.raw_end - b.raw_begin);
    b.raw_end -= b.raw_begin;
    b.raw_begin = 0;
    long got = sys(__NR_recvfrom, b.link_fd - 1, addr(buffer) + b.raw_end, kRecordRoom - b.raw_end, 0);
    if (got == -EINTR) {
      take_directed(b);
      continue;
    }
    if (got == 0) got = end_of(b.link_fd - 1);
    if (got == kClosed) return kClosed;
    if (got < 0) {
      if (!mend(b)) return got;
      if (b.slot == kEarSlot) return -EAGAIN;  // it has signals to look after, and does not wait here
      continue;
    }
    b.raw_end += static_cast<u32>(got);
  }
}

u8* kept_at(SlotBlock& b, u64 offset) { return reinterpret_cast<u8*>(b.kept + offset); }

// `number` modulo 2^32, as heads say it.
bool is_before(u64 record, u32 number) { return static_cast<i32>(number - static_cast<u32>(record)) > 0; }

// What the host has said it has opened needs not be kept. Most often that is all.
void forget_opened_records(SlotBlock& b) {
  u64 gone = 0;
  for (; gone < b.kept_bytes && is_before(b.kept_first, b.opened); ++b.kept_first)
    gone += bytes_of_record(kept_at(b, gone));
  b.kept_bytes -= gone;
  if (gone != 0 && b.kept_bytes != 0) memmove(kept_at(b, 0), kept_at(b, gone), b.kept_bytes);
}

void use_small_room(SlotBlock& b) {
  b.kept = addr(&b) + kSlotOutgoing;
  b.kept_room = kRecordRoom;
}

bool is_small(const SlotBlock& b) { return b.kept == addr(&b) + kSlotOutgoing; }

// Room for so many more bytes behind what is kept. False: there is none.
bool make_room(SlotBlock& b, u64 bytes) {
  if (b.kept == 0) use_small_room(b);
  forget_opened_records(b);
  if (b.kept_bytes == 0 && b.kept_room > kLeftMapped && bytes <= kLeftMapped) trim_kept(b);
  const u64 needed = b.kept_bytes + bytes;
  if (needed <= b.kept_room) return true;
  if (needed > kBigKeptRoom) return false;
  constexpr u64 kReadWrite = 3, kPrivateAnonymousFixedNoReplace = 0x100022, kMayMove = 0;
  const u64 rounded = page_up(needed);
  if (!is_small(b)) {
    if (failed(sys(__NR_mremap, b.kept, b.kept_room, rounded, kMayMove))) return false;
  } else {
    const u64 at = addr(&b) + kSlotBigKept;
    if (failed(sys(__NR_mmap, at, rounded, kReadWrite, kPrivateAnonymousFixedNoReplace, ~0ull, 0))) return false;
    memcpy(reinterpret_cast<void*>(at), kept_at(b, 0), b.kept_bytes);
    b.kept = at;
  }
  b.kept_room = rounded;
  return true;
}

u64 plain_bytes(const Vector* parts, u64 count) {
  u64 bytes = 0;
  for (u64 i = 0; i < count; ++i) bytes += parts[i].bytes;
  return bytes;
}

// Takes up to a record's bytes off the parts.
u32 gather(u8* to, Vector*& parts, u64& count) {
  u32 have = 0;
  while (count > 0 && have < wire::kMaxRecord) {
    const u64 room = wire::kMaxRecord - have;
    const u64 here = parts->bytes < room ? parts->bytes : room;
    memcpy(to + have, parts->base, here);
    have += static_cast<u32>(here);
    parts->base = static_cast<const u8*>(parts->base) + here;
    parts->bytes -= here;
    if (parts->bytes == 0) {
      ++parts;
      --count;
    }
  }
  return have;
}

// What comes, to the places from `at` on. After the first that does not take all it is given, nothing more is put
// anywhere.
template <typename Put>
long recv_to(SlotBlock& b, u64 at, u64 count, i32* error, Put put) {
  long trouble = 0;
  while (count > 0) {
    const u8* from;
    const u64 taken = take_buffered(b, count, &from);
    if (taken > 0) {
      const long done = trouble ? 0 : put(at, from, taken);
      if (!trouble && done != static_cast<long>(taken)) trouble = failed(done) ? done : -EFAULT;
      at += taken;
      count -= taken;
      continue;
    }
    if (const long ret = fill(b); ret != 0) return ret;
  }
  if (trouble && *error == 0) *error = static_cast<i32>(trouble);
  return 0;
}

}  // namespace

void forget_input(SlotBlock& b) {
  b.input_used = b.input_taken = b.raw_begin = b.raw_end = 0;
  b.kept_bytes = 0;
  b.opened = b.attempts = 0;
}

void trim_kept(SlotBlock& b) {
  if (b.kept == 0 || is_small(b)) return;
  sys(__NR_munmap, b.kept, b.kept_room);
  use_small_room(b);
  b.kept_bytes = 0;
}

bool forget_opened(SlotBlock& b, u64 opened) {
  const u64 sent = seals_of(b).out.count;
  if (opened > sent) return false;
  b.opened = static_cast<u32>(opened);
  if (b.kept != 0) forget_opened_records(b);
  return b.kept_bytes != 0 ? b.kept_first == opened : opened == sent;
}

bool has_input(SlotBlock& b) {
  const u64 bytes = record_there(b);
  return b.input_taken < b.input_used || (bytes != 0 && bytes <= b.raw_end - b.raw_begin);
}

long send_all(SlotBlock& b, Vector* parts, u64 count) {
  Seals& seals = seals_of(b);
  const u64 plain = plain_bytes(parts, count);
  const u64 records = (plain + wire::kMaxRecord - 1) / wire::kMaxRecord;
  // Without room each record takes the place of the last one, and a connection that breaks now is the end.
  const bool keeps = make_room(b, plain + records * record_bytes(0));
  if (!keeps) {
    trim_kept(b);
    b.kept_bytes = 0;
  }
  for (u64 i = 0; i < records; ++i) {
    if (b.kept_bytes == 0) b.kept_first = seals.out.count;
    u8* const record = kept_at(b, b.kept_bytes);
    wire::RecordHead head;
    head.bytes = gather(record + kHeadBytes, parts, count);
    head.received = static_cast<u32>(seals.in.count);
    memcpy(record, &head, sizeof head);
    seal(seals.out, head, record + kHeadBytes, nullptr);
    if (keeps) b.kept_bytes += record_bytes(head.bytes);
    // A new connection begins with all that is kept.
    if (const long ret = send_plainly(b.link_fd - 1, record, record_bytes(head.bytes)); ret != 0 && !mend(b))
      return ret;
  }
  return 0;
}

long recv_exact(SlotBlock& b, void* bytes, u64 count) {
  u8* to = static_cast<u8*>(bytes);
  for (;;) {
    const u8* from;
    const u64 taken = take_buffered(b, count, &from);
    memcpy(to, from, taken);
    to += taken;
    count -= taken;
    if (count == 0) return 0;
    if (const long ret = fill(b); ret != 0) return ret;
  }
}

// The destination is the program's memory: an address the kernel finds bad must not kill us, so every byte is placed by
// the kernel, through process_vm_writev to ourselves.
long recv_into_memory(SlotBlock& b, u64 address, u64 count) {
  return recv_to(b, address, count, &b.write_error, [](u64 at, const u8* from, u64 bytes) {
    const Vector local{from, bytes};
    const Vector remote{reinterpret_cast<const void*>(at), bytes};
    return sys(__NR_process_vm_writev, sys(__NR_getpid), addr(&local), 1, addr(&remote), 1, 0);
  });
}

long recv_into_file(SlotBlock& b, int fd, u64 offset, u64 count, i32* error) {
  return recv_to(b, offset, count, error,
                 [fd](u64 at, const u8* from, u64 bytes) { return sys(__NR_pwrite64, fd, addr(from), bytes, at); });
}

long drain(SlotBlock& b, u64 count) {
  for (;;) {
    const u8* from;
    count -= take_buffered(b, count, &from);
    if (count == 0) return 0;
    if (const long ret = fill(b); ret != 0) return ret;
  }
}

long send_reply(SlotBlock& b, u64 seq, i64 ret, u32 flags) {
  struct {
    wire::Frame frame;
    wire::Reply reply;
  } message{{wire::Type::reply, sizeof(wire::Reply), seq}, {ret, 0, flags}};
  Vector part{&message, sizeof message};
  return send_all(b, &part, 1);
}

}  // namespace omig::engine
