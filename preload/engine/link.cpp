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

u8* input_of(SlotBlock& b) { return reinterpret_cast<u8*>(addr(&b) + kSlotInput); }

// Hands out at most `wanted` buffered bytes.
u64 take_buffered(SlotBlock& b, u64 wanted, const u8** from) {
  const u64 have = b.input_used - b.input_taken;
  const u64 count = have < wanted ? have : wanted;
  *from = input_of(b) + b.input_taken;
  b.input_taken += static_cast<u32>(count);
  return count;
}

long fill(SlotBlock& b) {
  for (;;) {
    const long got = sys(__NR_recvfrom, b.link_fd - 1, addr(input_of(b)), kSlotInputBytes, 0);
    if (got == -EINTR) {
      take_directed(b);
      continue;
    }
    if (got == 0) return kClosed;
    if (got < 0) return got;
    b.input_taken = 0;
    b.input_used = static_cast<u32>(got);
    return 0;
  }
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

long open_link(i32* holder, const Peer& peer, wire::Role role, u32 slot, i32 tid, const void* extra, u32 extra_bytes) {
  lock();
  long fd = sys(__NR_socket, kInet, kStream | kCloexec, 0);
  if (fd >= 0) fd = move_high(static_cast<int>(fd));
  if (fd >= 0) __atomic_store_n(holder, static_cast<i32>(fd + 1), __ATOMIC_SEQ_CST);
  unlock();
  if (fd < 0) return fd;
  set_keepalive(static_cast<int>(fd));
  long ret = connect_to(static_cast<int>(fd), peer);
  if (ret == 0) {
    const Guard guard = guard_range();
    wire::Hello hello;
    hello.role = role;
    hello.slot = slot;
    memcpy(hello.token, peer.token, sizeof hello.token);
    hello.pid = static_cast<i32>(sys(__NR_getpid));
    hello.tid = tid;
    hello.extra_bytes = extra_bytes;
    hello.guard_first = guard.first;
    hello.guard_last = guard.last;
    Vector parts[] = {{&hello, sizeof hello}, {extra, extra_bytes}};
    ret = send_all(static_cast<int>(fd), parts, 2);
  }
  if (ret != 0) close_fd(holder);
  return ret;
}

long send_all(int fd, Vector* parts, u64 count) {
  while (count > 0) {
    if (parts->bytes == 0) {
      ++parts;
      --count;
      continue;
    }
    struct {
      u64 name, name_bytes, parts, count, control, control_bytes, flags;
    } message{0, 0, addr(parts), count < 512 ? count : 512, 0, 0, 0};
    long sent = sys(__NR_sendmsg, fd, addr(&message), kNoSignal);
    if (sent == -EINTR) continue;
    if (sent < 0) return sent;
    while (sent > 0) {
      const u64 here = static_cast<u64>(sent) < parts->bytes ? static_cast<u64>(sent) : parts->bytes;
      parts->base = static_cast<const u8*>(parts->base) + here;
      parts->bytes -= here;
      sent -= static_cast<long>(here);
      if (parts->bytes == 0) {
        ++parts;
        --count;
      }
    }
  }
  return 0;
}

long recv_all(int fd, void* bytes, u64 count) {
  u64 at = addr(bytes);
  while (count > 0) {
    const long got = sys(__NR_recvfrom, fd, at, count, kWaitAll);
    if (got == -EINTR) continue;
    if (got == 0) return kClosed;
    if (got < 0) return got;
    at += static_cast<u64>(got);
    count -= static_cast<u64>(got);
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
    if (count >= kSlotInputBytes) return recv_all(b.link_fd - 1, to, count);
    if (const long ret = fill(b); ret != 0) return ret;
  }
}

// The destination is the program's memory: an address the kernel finds bad must not kill us, so every byte is placed by
// the kernel. What is already buffered goes through process_vm_writev to ourselves.
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
    if (fault) {
      if (const long ret = drain(b, count); ret != 0) return ret;
      break;
    }
    const long got = sys(__NR_recvfrom, b.link_fd - 1, address, count, kWaitAll);
    if (got == -EINTR) continue;
    if (got == -EFAULT)
      fault = got;
    else if (got == 0)
      return kClosed;
    else if (got < 0)
      return got;
    else
      address += static_cast<u64>(got), count -= static_cast<u64>(got);
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
  return send_all(b.link_fd - 1, &part, 1);
}

}  // namespace omig::engine
