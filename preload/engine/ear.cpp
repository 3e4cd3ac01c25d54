// SPDX-License-Identifier: Apache-2.0
// The ear: the one thread of a deputy process that collects what happens to it and takes orders that cannot wait.
//
// Every thread of a deputy blocks all signals, so they stay pending in the kernel until the ear fetches them one by
// one, in the kernel's order, with their exact siginfo. One reader, so real-time signals keep their order. The ear's
// own link carries signals one way and orders (abort a call, die, stop, exclude) the other.
//
// It is woken out of ppoll by kAbortSignal, which is unblocked only inside ppoll: no wake-up can get lost.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

constexpr int kSigkill = 9, kSigstop = 19;
constexpr u64 kNeverTaken = bit(kSigkill) | bit(kSigstop) | bit(wire::kAbortSignal);
constexpr u64 kThreadFlags =
    0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x100000 /* PARENT_SETTID */ | 0x200000 /* CHILD_CLEARTID */;

long put_signalfd_mask() {
  const u64 mask = wanted();
  constexpr u64 kNonblockCloexec = 04000 | 02000000;
  return sys(__NR_signalfd4, static_cast<u64>(static_cast<i64>(state().signal_fd) - 1), addr(&mask), 8,
             kNonblockCloexec);
}

// What is pending together is sent together: the host queues it all before the guest runs a handler, as if it had been
// sent there.
long send_signals(SlotBlock& ear) {
  Private& st = state();
  struct Message {
    wire::Frame frame;
    u8 info[128];
  };
  static_assert(sizeof(Message) == sizeof(wire::Frame) + 128);
  constexpr u64 kTogether = 16;
  const u64 mask = wanted();
  const Timespec now{};
  for (bool more = true; more;) {
    Message messages[kTogether];
    u64 count = 0;
    while (count < kTogether) {
      Message& message = messages[count];
      message.frame = {wire::Type::signal, 128, st.signals_sent + static_cast<u32>(count) + 1};
      memset(message.info, 0, sizeof message.info);
      const long got = sys(__NR_rt_sigtimedwait, addr(&mask), addr(message.info), addr(&now), 8);
      if (got == -EINTR) continue;
      if (got < 0) break;
      ++count;
    }
    more = count == kTogether;
    Vector part{messages, count * sizeof(Message)};
    if (count == 0) break;
    if (const long ret = send_all(ear, &part, 1); ret != 0) return ret;
    count_effect();
    store_and_wake(&st.signals_sent, st.signals_sent + static_cast<u32>(count));
  }
  return 0;
}

// A thread that sees no signal pending and the ear not taking any knows that all that came were sent (call.cpp).
long forward_signals(SlotBlock& ear) {
  __atomic_store_n(&state().ear_taking, 1, __ATOMIC_SEQ_CST);
  const long ret = send_signals(ear);
  __atomic_store_n(&state().ear_taking, 0, __ATOMIC_SEQ_CST);
  return ret;
}

void abort_call(const wire::AbortCall& order) {
  if (order.slot >= anchor().slots_used) return;
  SlotBlock& b = block(order.slot);
  __atomic_store_n(&b.abort_seq, order.seq, __ATOMIC_SEQ_CST);
  poke(b);
}

[[noreturn]] void die(int signal) {
  if (wire::kDumpingSignals & bit(signal)) {
    const u64 none[2] = {0, 0};
    sys(__NR_prlimit64, 0, 4 /* RLIMIT_CORE */, addr(none), 0);
  }
  set_action(signal, 0);
  const u64 pid = static_cast<u64>(sys(__NR_getpid));
  sys(__NR_kill, pid, static_cast<u64>(signal));
  const u64 mask = bit(signal);
  sys(__NR_rt_sigprocmask, kUnblock, addr(&mask), 0, 8);
  for (;;) sys(__NR_kill, pid, kSigkill);
}

// The signal is queued while blocked and taken by unblocking it: so it is surely this thread that acts, and here.
void stop(int signal) {
  const u64 pid = static_cast<u64>(sys(__NR_getpid)), tid = static_cast<u64>(sys(__NR_gettid));
  wire::KernelSigaction kept{};
  sys(__NR_rt_sigaction, static_cast<u64>(signal), 0, addr(&kept), 8);
  set_action(signal, 0);
  sys(__NR_tgkill, pid, tid, static_cast<u64>(signal));
  const u64 mask = bit(signal);
  sys(__NR_rt_sigprocmask, kUnblock, addr(&mask), 0, 8);
  sys(__NR_rt_sigprocmask, kBlock, addr(&mask), 0, 8);
  sys(__NR_rt_sigaction, static_cast<u64>(signal), addr(&kept), 0, 8);
}

// Whether a SIGCONT ended the stop. Without one there was no stop: the kernel does not stop orphaned process groups.
i64 continued() {
  constexpr int kSigcont = 18;
  u64 pending = 0;
  sys(__NR_rt_sigpending, addr(&pending), 8);
  return (pending & bit(kSigcont)) != 0 ? 1 : 0;
}

long exclude(SlotBlock& ear, u64 mask, u64 seq) {
  state().excluded = mask;
  if (const long ret = settle_directed(ear); ret != 0) return ret;
  const long ret = put_signalfd_mask();
  return send_reply(ear, seq, failed(ret) ? ret : 0);
}

long serve_order(SlotBlock& ear) {
  wire::Frame frame;
  if (const long ret = recv_exact(ear, &frame, sizeof frame); ret != 0) return ret == -EAGAIN ? 0 : ret;
  if (frame.type == wire::Type::account) return serve_account(ear, frame);
  if (frame.type == wire::Type::heard) return frame.bytes == 0 ? 0 : -EPROTO;
  union {
    wire::AbortCall abort;
    wire::TakeDirected directed;
    u64 number;
  } body{};
  const bool to_thread = frame.type == wire::Type::abort_call || frame.type == wire::Type::take_directed;
  static_assert(sizeof body.abort == sizeof body.directed);
  const u32 bytes = to_thread ? sizeof body.abort : sizeof body.number;
  if (frame.bytes != bytes) return -EPROTO;
  if (const long ret = recv_exact(ear, &body, bytes); ret != 0) return ret;
  const bool is_signal = body.number >= 1 && body.number <= 64;
  switch (frame.type) {
    case wire::Type::abort_call: abort_call(body.abort); return 0;
    case wire::Type::take_directed: ask_for_directed(body.directed); return 0;
    case wire::Type::die:
      if (!is_signal) return -EPROTO;
      die(static_cast<int>(body.number));
    case wire::Type::stop:
      if (!is_signal) return -EPROTO;
      stop(static_cast<int>(body.number));
      return send_reply(ear, frame.seq, continued());
    case wire::Type::exclude: return exclude(ear, body.number, frame.seq);
    default: return -EPROTO;
  }
}

// Whether somebody else decides what the end of this link means: the threads' links do while the process changes place.
bool changing_place() {
  Private& st = state();
  if (load(&st.relinking) != 0 || load(&st.ready) != 0 || load(&st.phase) != kCommitted) return true;
  // Stored before relinking is cleared: a new link is waiting to be taken.
  return __atomic_load_n(&st.ear_next_fd, __ATOMIC_SEQ_CST) != 0;
}

void take_next_link(SlotBlock& ear) {
  Private& st = state();
  // Another thread may fork at any moment, and the child closes what is noted: so each descriptor is noted as long as
  // it is open. The lock would not do: who stops the ear holds it.
  const i32 next = __atomic_load_n(&st.ear_next_fd, __ATOMIC_SEQ_CST);
  if (next == 0) return;
  sys(__NR_close, st.ear_fd - 1);
  __atomic_store_n(&st.ear_fd, next, __ATOMIC_SEQ_CST);
  __atomic_store_n(&st.ear_next_fd, 0, __ATOMIC_SEQ_CST);
  ear.link_fd = next;
  seals_of(ear) = seals_of(ear, 1);
  forget_input(ear);
}

// Waits for something to do. Bit 0: signals, bit 1: the link. `deaf`: the link is known to be at its end.
u32 wait_for_work(SlotBlock& ear, bool deaf) {
  Private& st = state();
  if (!deaf && has_input(ear)) return 2;
  Pollfd polls[2] = {{load(&st.ear_hold) ? -1 : st.signal_fd - 1, kPollIn, 0},
                     {deaf ? -1 : ear.link_fd - 1, kPollIn, 0}};
  const u64 mask = ~bit(wire::kAbortSignal);
  constexpr Timespec kLookAgain{0, 100'000'000};  // whether the process has stayed where it is
  if (sys(__NR_ppoll, addr(polls), 2, deaf ? addr(&kLookAgain) : 0, addr(&mask), 8) <= 0) return 0;
  return (polls[0].revents ? 1u : 0u) | (polls[1].revents ? 2u : 0u);
}

[[noreturn]] void ear_main(u64) {
  Private& st = state();
  SlotBlock& ear = block(kEarSlot);
  // Before the host has confirmed, signals belong to the program that may yet go on here.
  while (load(&st.phase) == kUndecided && !load(&st.ear_stop)) futex_wait(&st.phase, kUndecided);
  bool deaf = false;
  while (!load(&st.ear_stop)) {
    if (__atomic_load_n(&st.ear_next_fd, __ATOMIC_ACQUIRE) != 0) {
      take_next_link(ear);
      deaf = false;
    }
    if (deaf && !changing_place()) deaf = false;  // so it is the end of the guest, unless the link can be mended
    const u32 work = wait_for_work(ear, deaf);
    long ret = 0;
    if (!load(&st.ear_hold)) ret = send_directed(ear);
    if (ret == 0 && work & 1 && !load(&st.ear_hold)) ret = forward_signals(ear);
    if (ret == 0 && work & 2) ret = serve_order(ear);
    if (ret == 0 || load(&st.ear_stop)) continue;
    if (!changing_place()) lost(ear);
    deaf = true;
  }
  exit_thread(0);
}

}  // namespace

// What is pending for the thread that executes another program stays pending in that program, which has no handler for
// it and dies. hold_ear waits until we are through, and then no more are sent: an abort that comes so late is for a
// call that is over, and whoever wants a directed signal asks again.
void poke(const SlotBlock& b) {
  Private& st = state();
  __atomic_store_n(&st.ear_poking, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&st.ear_hold, __ATOMIC_SEQ_CST) == 0) {
    sys(__NR_tgkill, sys(__NR_getpid), static_cast<u64>(b.tid), wire::kAbortSignal);
  }
  __atomic_store_n(&st.ear_poking, 0, __ATOMIC_SEQ_CST);
}

u64 wanted() { return ~(kNeverTaken | state().excluded); }

// A signal that the kernel raised before the call ended (SIGCHLD before wait4 returns, one sent by who then wrote to
// our pipe) is handled before the program sees the result. So the reply waits until the ear has sent it, and says how
// far the host must have read. What stays pending nevertheless (it was sent to one thread: directed.cpp) is waited for
// once.
u32 signals_before(SlotBlock& b) {
  Private& st = state();
  constexpr Timespec kLook{0, 1'000'000};
  constexpr int kLooks = 20, kYields = 10'000;  // a link that is stuck may keep the ear
  for (int looks = 0, yields = 0; load(&st.ear_hold) == 0 && load(&st.ear_stop) == 0;) {
    const u32 sent = load(&st.signals_sent);
    u64 pending = 0;
    sys(__NR_rt_sigpending, addr(&pending), 8);
    pending &= wanted();
    b.left_pending &= pending;
    if ((pending & ~b.left_pending) != 0) {
      if (++looks > kLooks) b.left_pending = pending;
      futex_wait(&st.signals_sent, sent, &kLook);
    } else if (__atomic_load_n(&st.ear_taking, __ATOMIC_SEQ_CST) != 0 && ++yields < kYields) {
      sys(__NR_sched_yield);
    } else {
      break;
    }
  }
  const u32 sent = load(&st.signals_sent);
  return __atomic_exchange_n(&b.signals_told, sent, __ATOMIC_RELAXED) == sent ? 0 : sent;
}

void fill_extra(wire::ProcessExtra* extra) {
  constexpr u64 kGetXcompPerm = 0x1022;
  sys(__NR_arch_prctl, kGetXcompPerm, addr(&extra->extended));
  for (u64 signal = 1; signal <= 64; ++signal) sys(__NR_rt_sigaction, signal, 0, addr(&extra->actions[signal - 1]), 8);
}

// Expects the abort handler in place and state().excluded set. The thread waits for the phase before it does anything.
long start_ear() {
  Private& st = state();
  if (!map_slot(kEarSlot)) return -ENOMEM;
  SlotBlock& ear = block(kEarSlot);
  trim_kept(ear);
  memset(&ear, 0, sizeof ear);
  ear.slot = kEarSlot;
  st.signal_fd = 0;
  long fd = put_signalfd_mask();
  if (fd < 0) return fd;
  fd = move_high(static_cast<int>(fd));
  if (fd < 0) return fd;
  st.signal_fd = static_cast<i32>(fd + 1);
  st.ear_stop = st.ear_hold = st.ear_poking = 0;
  const u64 kept = ~0ull;
  u64 before;
  sys(__NR_rt_sigprocmask, kSetMask, addr(&kept), addr(&before), 8);
  const long tid =
      omig_clone(kThreadFlags, slot_address(kEarSlot) + kSlotStackTop, &st.ear_tid, &st.ear_tid, ear_main, 0);
  sys(__NR_rt_sigprocmask, kSetMask, addr(&before), 0, 8);
  if (tid < 0) return tid;
  ear.tid = static_cast<i32>(tid);
  ear.in_use = 1;
  return 0;
}

void wake_ear() {
  const u32 tid = load(&state().ear_tid);
  if (tid != 0) sys(__NR_tgkill, sys(__NR_getpid), tid, wire::kAbortSignal);
}

// The link is shut down so that an ear that is blocked in it comes back, too.
void stop_ear() {
  Private& st = state();
  __atomic_store_n(&st.ear_stop, 1, __ATOMIC_SEQ_CST);
  if (st.ear_fd > 0) sys(__NR_shutdown, static_cast<u64>(st.ear_fd - 1), 2);
  futex_wake_all(&st.phase);
  wake_ear();
  for (u32 tid; (tid = load(&st.ear_tid)) != 0;) futex_wait(&st.ear_tid, tid);
  close_fd(&st.ear_fd);
  close_fd(&st.ear_next_fd);
  close_fd(&st.signal_fd);
}

}  // namespace omig::engine
