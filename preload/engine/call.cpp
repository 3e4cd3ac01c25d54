// SPDX-License-Identifier: Apache-2.0
// One forwarded call, executed without knowing what it means: bytes go into scratch memory, addresses are patched where
// the host says so, the call runs, and the scratch ranges the host asked for go back.
//
// Scratch, from its start: the call's own scratch_bytes, then (16-aligned) the relocations, the outs, and what is
// needed to send the outs (lengths and vectors). So nothing of a call's size lies on our small stack.
//
// Aborts: the ear sets abort_seq and sends kAbortSignal (start.S has the stub). A signal that was meant for an earlier
// call may arrive late; the -EINTR it causes is nobody's business, so the call is issued again. One for which the
// thread has taken a directed signal ends as if aborted: that signal is on its way.
#include <cstddef>

#include "preload/engine/state.h"

namespace omig::engine {
namespace {

static_assert(offsetof(SlotBlock, abort_seq) == 56, "start.S knows this offset");

constexpr u64 kSmallScratchBytes = 0x10000;
constexpr u64 kBigScratchRoom = kSlotWindow - kSlotBigScratch;
constexpr u64 kRestorer = 0x04000000, kSiginfo = 4;
constexpr u32 kMaxReissues = 100;

// Runs on the deputy thread's own stack, which tells its slot. It only ever edits rip.
void abort_handler(int, void*, SignalFrame* frame_minus_8) {
  // The kernel passes the ucontext, which lies behind the frame's return address.
  auto& frame = *reinterpret_cast<SignalFrame*>(addr(frame_minus_8) - 8);
  const u64 window = frame.rsp & ~(kSlotWindow - 1);
  const bool in_stub = frame.rip >= addr(omig_call_begin) && frame.rip <= addr(omig_call_syscall);
  if (!in_stub) return;
  auto& b = *reinterpret_cast<SlotBlock*>(window);
  if (__atomic_load_n(&b.abort_seq, __ATOMIC_ACQUIRE) == b.last_seq) frame.rip = addr(omig_call_notrun);
}

bool aborted(SlotBlock& b, u64 seq) { return __atomic_load_n(&b.abort_seq, __ATOMIC_ACQUIRE) == seq; }

// A read or write that was aborted before it ran has, natively, begun: it would have returned data that was there.
// Returns true with *ret set if there was something to do without blocking.
bool probe(const wire::Call& call, i64* ret) {
  const bool reads = call.nr == __NR_read || call.nr == __NR_readv;
  const bool writes = call.nr == __NR_write || call.nr == __NR_writev;
  if (!reads && !writes) return false;
  Pollfd poll{static_cast<i32>(call.args[0]), reads ? kPollIn : kPollOut, 0};
  if (sys(__NR_poll, addr(&poll), 1, 0) != 1) return false;
  const Vector one{reinterpret_cast<const void*>(call.args[1]), call.args[2]};
  const bool vector = call.nr == __NR_readv || call.nr == __NR_writev;
  constexpr u64 kNoWait = 8, kCurrentPosition = ~0ull;
  *ret = sys(reads ? __NR_preadv2 : __NR_pwritev2, call.args[0], vector ? call.args[1] : addr(&one),
             vector ? call.args[2] : 1, kCurrentPosition, kCurrentPosition, kNoWait);
  return *ret != -EAGAIN && *ret != -EOPNOTSUPP && *ret != -EINTR;
}

constexpr int kSigpipe = 13, kSigxfsz = 25;

// What the kernel has sent this thread for its call.
bool take_signal(int signal) {
  const u64 mask = bit(signal);
  const Timespec now{};
  return sys(__NR_rt_sigtimedwait, addr(&mask), 0, addr(&now), 8) == signal;
}

// A socket with a time-out of its own: the kernel would not restart the call (sock_intr_errno).
bool times_out(const wire::Call& call) {
  constexpr u64 kSocketLevel = 1, kReceiveTimeout = 20, kSendTimeout = 21;
  if ((call.flags & (wire::kCallTimesIn | wire::kCallTimesOut)) == 0) return false;
  u64 wait[2] = {};
  u32 bytes = sizeof wait;
  const u64 name = call.flags & wire::kCallTimesIn ? kReceiveTimeout : kSendTimeout;
  return !failed(sys(__NR_getsockopt, call.args[0], kSocketLevel, name, addr(wait), addr(&bytes))) &&
         (wait[0] | wait[1]) != 0;
}

i64 execute(SlotBlock& b, const wire::Call& call, u64 seq, u32* flags) {
  i64 ret;
  for (u32 tries = 0;; ++tries) {
    u32 not_run = 0;
    ret = omig_call(&b, call.args, call.nr, seq, &not_run);
    if (not_run) {
      if ((call.flags & wire::kCallProbeOnNotRun) && probe(call, &ret)) break;
      *flags |= wire::kReplyNotRun;
      return -EINTR;
    }
    if (ret != -EINTR) break;
    if (aborted(b, seq) || (call.nr != __NR_close && take_directed(b))) {
      *flags |= wire::kReplyAborted | (times_out(call) ? wire::kReplyTimesOut : 0);
      break;
    }
    // A close() that was interrupted has closed: never again. The limit is for file systems that say EINTR by
    // themselves.
    if (call.nr == __NR_close || tries == kMaxReissues) break;
  }
  if (ret == -EPIPE && (call.flags & wire::kCallWantsSigpipe) && take_signal(kSigpipe)) *flags |= wire::kReplySigpipe;
  if (ret == -EFBIG && take_signal(kSigxfsz)) *flags |= wire::kReplySigxfsz;
  return ret;
}

struct Layout {
  u8* scratch;
  wire::Reloc* relocs;
  wire::Out* outs;
  u32* lengths;
  Vector* vectors;  // 1 + 2 * outs
};

constexpr u64 align16(u64 x) { return (x + 15) & ~15ull; }
u64 layout_bytes(const wire::Call& call) {
  return align16(call.scratch_bytes) + align16(8ull * call.relocs) + align16(20ull * call.outs) +
         align16(4ull * call.outs) + 16 + 32ull * call.outs;
}

Layout layout(SlotBlock& b, const wire::Call& call) {
  Layout l;
  u64 at = b.scratch;
  l.scratch = reinterpret_cast<u8*>(at);
  l.relocs = reinterpret_cast<wire::Reloc*>(at += align16(call.scratch_bytes));
  l.outs = reinterpret_cast<wire::Out*>(at += align16(8ull * call.relocs));
  l.lengths = reinterpret_cast<u32*>(at += align16(20ull * call.outs));
  l.vectors = reinterpret_cast<Vector*>(at += align16(4ull * call.outs));
  return l;
}
static_assert(sizeof(wire::Reloc) == 8 && sizeof(wire::Out) == 20 && sizeof(Vector) == 16);

bool in_scratch(const wire::Call& call, u64 offset, u64 bytes) { return offset + bytes <= call.scratch_bytes; }

// Patches addresses in and zeroes what goes back whole. False: the host described something outside of the scratch.
bool prepare(wire::Call& call, const Layout& l) {
  u64 zero_to = call.in_bytes;
  for (u32 i = 0; i < call.outs; ++i) {
    const wire::Out& out = l.outs[i];
    const u64 end = static_cast<u64>(out.offset) + out.bytes;
    if (end > call.scratch_bytes) return false;
    if (out.length_at != ~0u && !in_scratch(call, out.length_at, 4)) return false;
    if (out.unit == 0 && end > zero_to) zero_to = end;
  }
  memset(l.scratch + call.in_bytes, 0, zero_to - call.in_bytes);
  for (u32 i = 0; i < call.relocs; ++i) {
    const wire::Reloc& reloc = l.relocs[i];
    const u64 target = addr(l.scratch) + reloc.target;
    if (reloc.target > call.scratch_bytes) return false;
    if (reloc.where & wire::kRelocScratch) {
      const u64 where = reloc.where & ~wire::kRelocScratch;
      if (!in_scratch(call, where, 8)) return false;
      memcpy(l.scratch + where, &target, 8);
    } else {
      if (reloc.where >= 6) return false;
      call.args[reloc.where] = target;
    }
  }
  return true;
}

u32 length_of(const wire::Out& out, const Layout& l, i64 ret) {
  if (failed(ret) && !out.always) return 0;
  u64 bytes = out.bytes;
  if (out.unit > 0) {
    if (ret <= 0) return 0;
    const u64 units = static_cast<u64>(ret);
    const u64 limit = units > out.bytes ? out.bytes : units * out.unit;  // the product may not overflow
    if (limit < bytes) bytes = limit;
  }
  if (out.length_at != ~0u) {
    u32 length;
    memcpy(&length, l.scratch + out.length_at, 4);
    if (length < bytes) bytes = length;
  }
  return static_cast<u32>(bytes);
}

u64 bytes_behind(const wire::Call& call) { return 8ull * call.relocs + 20ull * call.outs + call.in_bytes; }

// A frame's call, ready to be made. kNoRoom: what stands behind it has not been taken.
constexpr long kNoRoom = 1;
long take_call(SlotBlock& b, const wire::Frame& frame, Source source, wire::Call* call, Layout* l) {
  if (frame.bytes < sizeof *call) return -EPROTO;
  if (const long ret = source(b, call, sizeof *call); ret != 0) return ret;
  if (frame.bytes != sizeof *call + bytes_behind(*call) || call->in_bytes > call->scratch_bytes) return -EPROTO;
  if (ensure_scratch(b, layout_bytes(*call)) != 0) return kNoRoom;
  *l = layout(b, *call);
  long ret = source(b, l->relocs, 8ull * call->relocs);
  if (ret == 0) ret = source(b, l->outs, 20ull * call->outs);
  if (ret == 0) ret = source(b, l->scratch, call->in_bytes);
  return ret == 0 && !prepare(*call, *l) ? -EPROTO : ret;
}

long answer(SlotBlock& b, const wire::Call& call, const Layout& l, u64 seq, i64 ret, u32 flags) {
  u64 out_bytes = 0, parts = 1;
  const bool nothing = (flags & wire::kReplyNotRun) != 0;
  for (u32 i = 0; i < call.outs; ++i) {
    l.lengths[i] = nothing ? 0 : length_of(l.outs[i], l, ret);
    l.vectors[parts++] = {&l.lengths[i], 4};
    l.vectors[parts++] = {l.scratch + l.outs[i].offset, l.lengths[i]};
    out_bytes += 4 + l.lengths[i];
  }
  struct {
    wire::Frame frame;
    wire::Reply reply;
  } head{{wire::Type::reply, static_cast<u32>(sizeof(wire::Reply) + out_bytes), seq},
         {ret, static_cast<u32>(out_bytes), flags, signals_before(b), 0}};
  l.vectors[0] = {&head, sizeof head};
  return send_all(b, l.vectors, parts);
}

}  // namespace

void set_action(int signal, u64 handler, u64 flags) {
  const wire::KernelSigaction action{handler, flags | kRestorer, addr(omig_restorer), ~0ull};
  sys(__NR_rt_sigaction, static_cast<u64>(signal), addr(&action), 0, 8);
}

void install_abort_handler() {
  sys(__NR_rt_sigaction, wire::kAbortSignal, 0, addr(&state().abort_action), 8);
  set_action(wire::kAbortSignal, addr(abort_handler), kSiginfo);
  state().abort_installed = 1;
}

u64 noop_handler() { return addr(abort_handler); }

long ensure_scratch(SlotBlock& b, u64 bytes) {
  if (b.scratch == 0) {
    b.scratch = addr(&b) + kSlotScratch;
    b.scratch_bytes = kSmallScratchBytes;
  }
  if (bytes <= b.scratch_bytes) return 0;
  if (bytes > kBigScratchRoom) return -ENOMEM;
  trim_scratch(b, 0);
  constexpr u64 kReadWrite = 3, kPrivateAnonymousFixedNoReplace = 0x100022;
  const u64 rounded = page_up(bytes);
  const long at =
      sys(__NR_mmap, addr(&b) + kSlotBigScratch, rounded, kReadWrite, kPrivateAnonymousFixedNoReplace, ~0ull, 0);
  if (failed(at)) return at;
  b.scratch = static_cast<u64>(at);
  b.scratch_bytes = rounded;
  return 0;
}

void trim_scratch(SlotBlock& b, u64 keep_bytes) {
  if (b.scratch_bytes <= kSmallScratchBytes || b.scratch_bytes <= keep_bytes) return;
  sys(__NR_munmap, b.scratch, b.scratch_bytes);
  b.scratch = addr(&b) + kSlotScratch;
  b.scratch_bytes = kSmallScratchBytes;
}

// A read from the terminal in the background, or a change to it: the kernel stops the process only if the thread that
// does it does not block SIGTTIN or SIGTTOU. The host asks for it when the program would be stopped natively. That
// reads fail it learns by their EIO; the others go through, so the engine looks first whether that may be.
void let_stop(u32 nr, bool yes) {
  constexpr int kSigttin = 21, kSigttou = 22;
  const int signal = nr == __NR_read ? kSigttin : kSigttou;
  const u64 mask = bit(signal);
  if (yes) set_action(signal, 0);
  sys(__NR_rt_sigprocmask, yes ? kUnblock : kBlock, addr(&mask), 0, 8);
}

// Whether `fd` is the terminal of this process, and another group has it.
bool in_background(u64 fd) {
  constexpr u64 kGetGroup = 0x540f /* TIOCGPGRP */, kGetNumber = 0x80045430 /* TIOCGPTN: for a master only */;
  i32 group = 0;
  u32 number = 0;
  return !failed(sys(__NR_ioctl, fd, kGetGroup, addr(&group))) && group != sys(__NR_getpgrp) &&
         failed(sys(__NR_ioctl, fd, kGetNumber, addr(&number)));
}

long serve_call(SlotBlock& b, const wire::Frame& frame) {
  wire::Call call;
  Layout l;
  long ret = take_call(b, frame, recv_exact, &call, &l);
  if (ret == kNoRoom) {
    if (ret = drain(b, bytes_behind(call)); ret != 0) return ret;
    return send_reply(b, frame.seq, -ENOMEM);
  }
  if (ret != 0) return ret;
  __atomic_store_n(&b.last_seq, frame.seq, __ATOMIC_RELEASE);
  u32 flags = 0;
  const bool stops = (call.flags & wire::kCallStopsInBackground) != 0;
  i64 result = -EINTR;
  if ((call.flags & wire::kCallMindsBackground) && in_background(call.args[0])) {
    flags = wire::kReplyNotRun | wire::kReplyInBackground;
  } else {
    const bool counts = begin_effect(call);
    if (stops) let_stop(call.nr, true);
    result = execute(b, call, frame.seq, &flags);
    if (stops) let_stop(call.nr, false);
    if (counts) end_effect(call, result, flags);
    if (is_past_image()) flags |= wire::kReplyPastImage;
  }
  if ((call.flags & wire::kCallUnanswered) == 0) ret = answer(b, call, l, frame.seq, result, flags);
  trim_scratch(b, kLeftMapped);
  return ret;
}

long carry_out_call(SlotBlock& b, const wire::Frame& frame, Source source) {
  wire::Call call;
  Layout l;
  if (const long ret = take_call(b, frame, source, &call, &l); ret != 0) return ret == kNoRoom ? -ENOMEM : ret;
  for (;;) {
    __atomic_store_n(&b.abort_seq, 0, __ATOMIC_RELEASE);  // who would fetch us for a restart waits for us instead
    u32 flags = 0;
    const i64 result = execute(b, call, frame.seq, &flags);
    if ((flags & (wire::kReplyNotRun | wire::kReplyAborted)) == 0) return result;
  }
}

}  // namespace omig::engine
