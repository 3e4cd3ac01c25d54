// SPDX-License-Identifier: Apache-2.0
// Links: connections to the host, one per thread deputy and one for the ear. What travels on them is the business of
// records.cpp.
//
// The engine's descriptors live in the program's own descriptor table, at numbers no ordinary program reaches, so that
// the program's next open() still gets the number it expects. A descriptor is born low (the kernel always takes the
// lowest number) and moved up at once; state().lock is held meanwhile, so that a fork cannot copy it half-way.
//
// A connection that breaks is made again (wire::Resume), for anchor().patience_s seconds, by the thread whose it is. A
// thread that sits in a call learns of it when it answers; the host waits, as long as the ear's link is there.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

constexpr u64 kInet = 2, kStream = 1, kCloexec = 02000000, kTcp = 6, kSocketLevel = 1;
constexpr u64 kDupCloexec = 1030, kLimitFiles = 7, kNoSignal = 0x4000, kWaitAll = 0x100;
constexpr i64 kConnectSeconds = 10, kReconnectSeconds = 3;
constexpr u64 kReceiveTimeout = 20, kSendTimeout = 21;  // SO_RCVTIMEO, SO_SNDTIMEO

struct Address {
  u16 family = 2;
  u8 port[2] = {};
  u8 ip[4] = {};
  u8 zero[8] = {};
};

long set_option(int fd, u64 level, u64 option, int value) {
  return sys(__NR_setsockopt, fd, level, option, addr(&value), sizeof value);
}

// 0: for ever.
void set_timeout(int fd, u64 which, i64 seconds) {
  const i64 timeval[2] = {seconds, 0};
  sys(__NR_setsockopt, fd, kSocketLevel, which, addr(timeval), sizeof timeval);
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

// A send time-out bounds the connect; afterwards sends wait as long as they must.
long connect_to(int fd, const Peer& peer, i64 seconds) {
  Address address;
  address.port[0] = static_cast<u8>(peer.port >> 8);
  address.port[1] = static_cast<u8>(peer.port);
  memcpy(address.ip, peer.address, 4);
  set_timeout(fd, kSendTimeout, seconds);
  long ret;
  do ret = sys(__NR_connect, fd, addr(&address), sizeof address);
  while (ret == -EINTR || ret == -EALREADY);
  set_timeout(fd, kSendTimeout, 0);
  return ret == -EISCONN ? 0 : ret;
}

long recv_plainly(int fd, u8* bytes, u64 count) {
  while (count > 0) {
    const long got = sys(__NR_recvfrom, fd, addr(bytes), count, kWaitAll);
    if (got == -EINTR) continue;
    if (got == 0) return end_of(fd);
    if (got < 0) return got;
    bytes += got;
    count -= static_cast<u64>(got);
  }
  return 0;
}

// The first bytes of a link: hello in clear, and the record that shows that we know the token.
struct First {
  wire::Hello hello;
  wire::RecordHead head;
  u8 sealed[sizeof(wire::ProcessExtra) + wire::kTagBytes];
};

long say_hello(int fd, Seals& seals, const Peer& peer, const Opening& what) {
  First first;
  const Guard guard = guard_range();
  wire::Hello& hello = first.hello;
  hello = {};
  hello.role = what.role;
  hello.slot = what.slot;
  hello.cipher = best_cipher();
  hello.pid = static_cast<i32>(sys(__NR_getpid));
  hello.tid = what.tid;
  hello.extra_bytes = what.extra_bytes;
  hello.guard_first = guard.first;
  hello.guard_last = guard.last;
  hello.patience_s = anchor().patience_s;
  if (sys(__NR_getrandom, addr(hello.nonce), sizeof hello.nonce, 0) != sizeof hello.nonce) return -EIO;
  begin_seals(seals, peer.token, hello);
  first.head = {what.extra_bytes, 0};
  memcpy(first.sealed, what.extra, what.extra_bytes);
  seal(seals.out, first.head, first.sealed, &hello);
  const u64 bytes = sizeof hello + sizeof first.head + what.extra_bytes + wire::kTagBytes;
  return send_plainly(fd, reinterpret_cast<const u8*>(&first), bytes);
}
static_assert(offsetof(First, sealed) == sizeof(wire::Hello) + sizeof(wire::RecordHead));

// MPTCP if wanted, where this kernel has it and its keepalive (lib/link/peer.h, has_multipath), else TCP.
long stream_socket() {
  if (anchor().multipath != 0) {
    const long fd = sys(__NR_socket, kInet, kStream | kCloexec, 262 /* IPPROTO_MPTCP */);
    if (fd >= 0 && set_option(static_cast<int>(fd), kTcp, 4 /* TCP_KEEPIDLE */, 10) == 0) return fd;
    if (fd >= 0) sys(__NR_close, fd);
  }
  return sys(__NR_socket, kInet, kStream | kCloexec, 0);
}

// A socket of the engine's own, noted in the holder; with the lock held.
long new_socket(i32* holder) {
  long fd = stream_socket();
  if (fd >= 0) fd = move_high(static_cast<int>(fd));
  if (fd < 0) return fd;
  __atomic_store_n(holder, static_cast<i32>(fd + 1), __ATOMIC_SEQ_CST);
  set_keepalive(static_cast<int>(fd));
  return 0;
}

// A record of its own, of a size that is known.
long recv_record(int fd, Seals& seals, void* bytes, u32 count) {
  constexpr u32 kMost = 256;
  struct {
    wire::RecordHead head;
    u8 sealed[kMost + wire::kTagBytes];
  } record;
  if (count > kMost) return -EPROTO;
  if (const long ret = recv_plainly(fd, reinterpret_cast<u8*>(&record), sizeof record.head + count + wire::kTagBytes);
      ret != 0)
    return ret;
  if (record.head.bytes != count) return -EPROTO;
  if (!unseal(seals.in, record.head, record.sealed)) return -EBADMSG;
  memcpy(bytes, record.sealed, count);
  return 0;
}

// Whether the thread's link may still be made again: not when the move it was made for is not decided, or the process
// is going home, or somebody waits for the ear's end.
bool may_mend(const SlotBlock& b) {
  Private& st = state();
  return load(&st.phase) == kCommitted && load(&st.restarting) == 0 && (b.slot != kEarSlot || load(&st.ear_stop) == 0);
}

// Whoever stops the ear waits for it with the lock held.
bool lock_unless_over(const SlotBlock& b) {
  for (;;) {
    if (try_lock()) return true;
    if (!may_mend(b)) return false;
    doze();
  }
}

// Its end says RST and not FIN. A FIN means that the deputy has ended: one of an attempt that was given up, which the
// network brings when it is there again, must not.
void give_up(i32* holder) {
  const Address nowhere{0};  // AF_UNSPEC
  if (*holder > 0) sys(__NR_connect, *holder - 1, addr(&nowhere), sizeof nowhere);
  close_fd(holder);
}

enum class Attempt { made, refused, failed };

// Connects to the host again, tells how far we are, and hears how far the host is.
Attempt knock(SlotBlock& b, wire::Resumed* resumed) {
  if (!lock_unless_over(b)) return Attempt::refused;
  const long made = new_socket(&b.next_link_fd);
  unlock();
  if (made != 0) return Attempt::failed;
  const int fd = b.next_link_fd - 1;
  const Peer peer = present_host();
  if (const long ret = connect_to(fd, peer, kReconnectSeconds); ret != 0)
    return ret == -ECONNREFUSED ? Attempt::refused : Attempt::failed;
  set_timeout(fd, kReceiveTimeout, kReconnectSeconds);
  Seals seals;  // of this conversation
  wire::Resume resume;
  memcpy(resume.link, seals_of(b).nonce, sizeof resume.link);
  resume.attempt = ++b.attempts;
  resume.received = seals_of(b).in.count;
  if (say_hello(fd, seals, peer, {wire::Role::resume, b.slot, b.tid, &resume, sizeof resume}) != 0)
    return Attempt::failed;
  const long ret = recv_record(fd, seals, resumed, sizeof *resumed);
  if (ret == -EPROTO || ret == -EBADMSG) return Attempt::refused;
  if (ret != 0) return Attempt::failed;
  set_timeout(fd, kReceiveTimeout, 0);
  constexpr u64 kCloseOnExec = 02000000;
  return failed(sys(__NR_dup3, fd, b.link_fd - 1, kCloseOnExec)) ? Attempt::failed : Attempt::made;
}

}  // namespace

void doze() {
  constexpr u64 kMilliseconds = 100;
  sys(__NR_poll, 0, 0, kMilliseconds);
}

i64 now_ms() {
  Timespec now{};
  sys(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, addr(&now));
  return now.seconds * 1000 + now.nanoseconds / 1'000'000;
}

// One side of it is closed, or both are. (TCP_INFO would do for TCP; of MPTCP it tells the first subflow's state.)
long end_of(int fd) {
  Pollfd poll{fd, 0, 0};
  sys(__NR_poll, addr(&poll), 1, 0);
  return poll.revents & kPollHup ? -ECONNRESET : kClosed;
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
  long high;
  {
    const RaisedLimit files(kLimitFiles, guard.last + 1ull);
    high = sys(__NR_fcntl, fd, kDupCloexec, guard.first);
  }
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

long open_link(const Link& link, const Peer& peer, const Opening& what) {
  lock();
  const long made = new_socket(link.holder);
  unlock();
  if (made != 0) return made;
  const int fd = *link.holder - 1;
  long ret = connect_to(fd, peer, kConnectSeconds);
  if (ret == 0) ret = say_hello(fd, link.seals, peer, what);
  if (ret != 0) close_fd(link.holder);
  return ret;
}

long recv_one(const Link& link, void* bytes, u32 count) {
  return recv_record(*link.holder - 1, link.seals, bytes, count);
}

bool mend(SlotBlock& b) {
  const i64 deadline = now_ms() + static_cast<i64>(anchor().patience_s) * 1000;
  for (bool first = true; first || now_ms() < deadline; first = false) {
    if (anchor().patience_s == 0 || !may_mend(b)) return false;
    wire::Resumed resumed;
    const Attempt attempt = knock(b, &resumed);
    if (attempt == Attempt::made)
      close_fd(&b.next_link_fd);
    else
      give_up(&b.next_link_fd);
    if (attempt == Attempt::refused) return false;
    if (attempt == Attempt::made) {
      if (!forget_opened(b, resumed.received)) return false;  // kNoSuchLink is more than has been sent
      b.raw_begin = b.raw_end = 0;                            // what has not been opened comes again
      if (send_plainly(b.link_fd - 1, reinterpret_cast<const u8*>(b.kept), b.kept_bytes) == 0) return true;
    }
    doze();
  }
  return false;
}

}  // namespace omig::engine
