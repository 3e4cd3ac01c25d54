// SPDX-License-Identifier: Apache-2.0
// Links: TCP streams to the host, one per thread deputy and one for the ear.
//
// The engine's descriptors live in the program's own descriptor table, at numbers no ordinary program reaches, so that
// the program's next open() still gets the number it expects. A descriptor is born low (the kernel always takes the
// lowest number) and moved up at once; state().lock is held meanwhile, so that a fork cannot copy it half-way.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

constexpr u64 kInet = 2, kStream = 1, kCloexec = 02000000, kTcp = 6, kSocketLevel = 1;
constexpr u64 kDupCloexec = 1030, kLimitFiles = 7, kNoSignal = 0x4000, kWaitAll = 0x100;
constexpr i64 kConnectSeconds = 10;

struct Limit {
  u64 soft, hard;
};

struct Address {
  u16 family = 2;
  u8 port[2] = {};
  u8 ip[4] = {};
  u8 zero[8] = {};
};

void set_option(int fd, u64 level, u64 option, int value) {
  sys(__NR_setsockopt, fd, level, option, addr(&value), sizeof value);
}

// A send time-out bounds the connect; afterwards sends wait as long as they must.
void set_send_seconds(int fd, i64 seconds) {
  const i64 timeval[2] = {seconds, 0};
  sys(__NR_setsockopt, fd, kSocketLevel, 21 /* SO_SNDTIMEO */, addr(timeval), sizeof timeval);
}

// A node that vanished without a word is noticed within about 25 seconds.
void set_keepalive(int fd) {
  set_option(fd, kTcp, 1 /* TCP_NODELAY */, 1);
  set_option(fd, kTcp, 4 /* TCP_KEEPIDLE */, 10);
  set_option(fd, kTcp, 5 /* TCP_KEEPINTVL */, 5);
  set_option(fd, kTcp, 6 /* TCP_KEEPCNT */, 3);
  set_option(fd, kTcp, 18 /* TCP_USER_TIMEOUT, ms */, 25000);
  set_option(fd, kSocketLevel, 9 /* SO_KEEPALIVE */, 1);
}

long connect_to(int fd, const Peer& peer) {
  Address address;
  address.port[0] = static_cast<u8>(peer.port >> 8);
  address.port[1] = static_cast<u8>(peer.port);
  memcpy(address.ip, peer.address, 4);
  set_send_seconds(fd, kConnectSeconds);
  long ret;
  do ret = sys(__NR_connect, fd, addr(&address), sizeof address);
  while (ret == -EINTR || ret == -EALREADY);
  set_send_seconds(fd, 0);
  return ret == -EISCONN ? 0 : ret;
}

u8* incoming(SlotBlock& b) { return reinterpret_cast<u8*>(addr(&b) + kSlotIncoming); }
u8* outgoing(SlotBlock& b) { return reinterpret_cast<u8*>(addr(&b) + kSlotOutgoing); }
constexpr u64 kLengthBytes = sizeof(u32);
constexpr u64 record_bytes(u64 plain) { return kLengthBytes + plain + wire::kTagBytes; }
static_assert(record_bytes(wire::kMaxRecord) <= kRecordRoom);

// Hands out at most `wanted` bytes that are there in plain.
u64 take_buffered(SlotBlock& b, u64 wanted, const u8** from) {
  const u64 have = b.input_used - b.input_taken;
  const u64 count = have < wanted ? have : wanted;
  *from = incoming(b) + b.input_taken;
  b.input_taken += static_cast<u32>(count);
  return count;
}

// Bytes of the record that begins at raw_begin: 0 if its length has not come yet, all ones if it is nonsense.
u64 record_there(SlotBlock& b) {
  if (b.raw_end - b.raw_begin < kLengthBytes) return 0;
  u32 length;
  memcpy(&length, incoming(b) + b.raw_begin, sizeof length);
  return length == 0 || length > wire::kMaxRecord ? ~0ull : record_bytes(length);
}

// The next record in plain; all of the last one has been taken.
long fill(SlotBlock& b) {
  u8* const buffer = incoming(b);
  for (;;) {
    const u64 bytes = record_there(b);
    if (bytes == ~0ull) return -EPROTO;
    if (bytes != 0 && bytes <= b.raw_end - b.raw_begin) {
      const u32 plain = static_cast<u32>(bytes - record_bytes(0));
      const u32 at = b.raw_begin + static_cast<u32>(kLengthBytes);
      b.raw_begin += static_cast<u32>(bytes);
      if (!unseal(seals_of(b).in, buffer + at, plain)) return -EBADMSG;
      b.input_taken = at;
      b.input_used = at + plain;
      return 0;
    }
    if (b.raw_begin != 0) memmove(buffer, buffer + b.raw_begin, b.raw_end - b.raw_begin);
    b.raw_end -= b.raw_begin;
    b.raw_begin = 0;
    const long got = sys(__NR_recvfrom, b.link_fd - 1, addr(buffer) + b.raw_end, kRecordRoom - b.raw_end, 0);
    if (got == -EINTR) {
      take_directed(b);
      continue;
    }
    if (got == 0) return kClosed;
    if (got < 0) return got;
    b.raw_end += static_cast<u32>(got);
  }
}

long send_plainly(int fd, const u8* bytes, u64 count) {
  while (count > 0) {
    const long sent = sys(__NR_sendto, fd, addr(bytes), count, kNoSignal);
    if (sent == -EINTR) continue;
    if (sent < 0) return sent;
    bytes += sent;
    count -= static_cast<u64>(sent);
  }
  return 0;
}

long recv_plainly(int fd, u8* bytes, u64 count) {
  while (count > 0) {
    const long got = sys(__NR_recvfrom, fd, addr(bytes), count, kWaitAll);
    if (got == -EINTR) continue;
    if (got == 0) return kClosed;
    if (got < 0) return got;
    bytes += got;
    count -= static_cast<u64>(got);
  }
  return 0;
}

// Seals what lies in the buffer behind the place of its length, and sends it.
long send_record(int fd, Direction& d, u8* buffer, u32 count) {
  memcpy(buffer, &count, sizeof count);
  seal(d, buffer + kLengthBytes, count, nullptr);
  return send_plainly(fd, buffer, record_bytes(count));
}

// The first bytes of a link: hello in clear, and the record that shows that we know the token.
long send_hello(int fd, Seals& seals, u8* buffer, const wire::Hello& hello, const void* extra) {
  u8* const record = buffer + sizeof hello;
  const u32 count = hello.extra_bytes;
  memcpy(buffer, &hello, sizeof hello);
  memcpy(record, &count, sizeof count);
  memcpy(record + kLengthBytes, extra, count);
  seal(seals.out, record + kLengthBytes, count, &hello);
  return send_plainly(fd, buffer, sizeof hello + record_bytes(count));
}

}  // namespace

Guard guard_range() {
  Limit limit{};
  sys(__NR_prlimit64, 0, kLimitFiles, 0, addr(&limit));
  const u64 hard = limit.hard;
  Guard guard{};
  if (hard >= 4200)
    guard.first = 4000;
  else if (hard >= 192)
    guard.first = static_cast<u32>(hard - 96);
  else
    guard.first = static_cast<u32>(hard / 2);
  guard.last = guard.first + 2 * kMaxSlots + 8;
  if (guard.last >= hard) guard.last = static_cast<u32>(hard - 1);
  return guard;
}

long move_high(int fd) {
  const Guard guard = guard_range();
  Limit limit{};
  sys(__NR_prlimit64, 0, kLimitFiles, 0, addr(&limit));
  const bool raise = limit.soft <= guard.last;
  if (raise) {
    const Limit raised{guard.last + 1ull, limit.hard};
    sys(__NR_prlimit64, 0, kLimitFiles, addr(&raised), 0);
  }
  long high = sys(__NR_fcntl, fd, kDupCloexec, guard.first);
  if (raise) sys(__NR_prlimit64, 0, kLimitFiles, addr(&limit), 0);
  sys(__NR_close, fd);
  if (high > static_cast<long>(guard.last)) {
    sys(__NR_close, high);
    high = -EMFILE;
  }
  return high;
}

void close_fd(i32* holder) {
  // A look first: in a fresh child a write would copy a page for every slot there ever was.
  if (__atomic_load_n(holder, __ATOMIC_SEQ_CST) <= 0) return;
  const i32 fd = __atomic_exchange_n(holder, 0, __ATOMIC_SEQ_CST);
  if (fd > 0) sys(__NR_close, fd - 1);
}

Peer present_host() { return {anchor().host_address, anchor().host_port, anchor().token}; }

long open_link(SlotBlock& own, const Link& link, const Peer& peer, const Opening& what) {
  lock();
  long fd = sys(__NR_socket, kInet, kStream | kCloexec, 0);
  if (fd >= 0) fd = move_high(static_cast<int>(fd));
  if (fd >= 0) __atomic_store_n(link.holder, static_cast<i32>(fd + 1), __ATOMIC_SEQ_CST);
  unlock();
  if (fd < 0) return fd;
  set_keepalive(static_cast<int>(fd));
  long ret = connect_to(static_cast<int>(fd), peer);
  if (ret == 0) {
    const Guard guard = guard_range();
    wire::Hello hello;
    hello.role = what.role;
    hello.slot = what.slot;
    hello.cipher = best_cipher();
    hello.pid = static_cast<i32>(sys(__NR_getpid));
    hello.tid = what.tid;
    hello.extra_bytes = what.extra_bytes;
    hello.guard_first = guard.first;
    hello.guard_last = guard.last;
    ret = sys(__NR_getrandom, addr(hello.nonce), sizeof hello.nonce, 0) == sizeof hello.nonce ? 0 : -EIO;
    if (ret == 0) {
      begin_seals(link.seals, peer.token, hello);
      ret = send_hello(static_cast<int>(fd), link.seals, outgoing(own), hello, what.extra);
    }
  }
  if (ret != 0) close_fd(link.holder);
  return ret;
}

void forget_input(SlotBlock& b) { b.input_used = b.input_taken = b.raw_begin = b.raw_end = 0; }

bool has_input(SlotBlock& b) {
  const u64 bytes = record_there(b);
  return b.input_taken < b.input_used || (bytes != 0 && bytes <= b.raw_end - b.raw_begin);
}

long send_all(SlotBlock& b, Vector* parts, u64 count) {
  u8* const record = outgoing(b);
  Direction& d = seals_of(b).out;
  u64 have = 0;
  while (count > 0) {
    const u64 room = wire::kMaxRecord - have;
    const u64 here = parts->bytes < room ? parts->bytes : room;
    memcpy(record + kLengthBytes + have, parts->base, here);
    have += here;
    parts->base = static_cast<const u8*>(parts->base) + here;
    parts->bytes -= here;
    if (parts->bytes == 0) {
      ++parts;
      --count;
    }
    if (have == wire::kMaxRecord || (count == 0 && have > 0)) {
      if (const long ret = send_record(b.link_fd - 1, d, record, static_cast<u32>(have)); ret != 0) return ret;
      have = 0;
    }
  }
  return 0;
}

// Nothing is being sent meanwhile, so there is room for it where records go out.
long recv_one(SlotBlock& own, const Link& link, void* bytes, u32 count) {
  u8* const record = outgoing(own);
  const int fd = *link.holder - 1;
  if (const long ret = recv_plainly(fd, record, record_bytes(count)); ret != 0) return ret;
  u32 length;
  memcpy(&length, record, sizeof length);
  if (length != count) return -EPROTO;
  if (!unseal(link.seals.in, record + kLengthBytes, count)) return -EBADMSG;
  memcpy(bytes, record + kLengthBytes, count);
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
  long fault = 0;
  while (count > 0) {
    const u8* from;
    const u64 taken = take_buffered(b, count, &from);
    if (taken > 0) {
      const Vector local{from, taken};
      const Vector remote{reinterpret_cast<const void*>(address), taken};
      const long put = fault ? 0 : sys(__NR_process_vm_writev, sys(__NR_getpid), addr(&local), 1, addr(&remote), 1, 0);
      if (!fault && put != static_cast<long>(taken)) fault = failed(put) ? put : -EFAULT;
      address += taken;
      count -= taken;
      continue;
    }
    if (const long ret = fill(b); ret != 0) return ret;
  }
  if (fault && b.write_error == 0) b.write_error = static_cast<i32>(fault);
  return 0;
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
