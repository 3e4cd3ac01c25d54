// SPDX-License-Identifier: Apache-2.0
// Leaving home: from frozen thread to deputy, or back to where it was.
//
// Every thread of the process arrives here at once, diverted by a mover that may die at any moment, also between two
// threads. So nothing is taken for granted: whoever waits, waits at most kArrivalSeconds for the others, and until the
// host has said `running` on the leader's link any thread can call the move off, by the one transition kUndecided ->
// kRolledBack. What the leader has set up (ear, abort handler) only the leader takes down: a thread that calls off a
// move wakes it by shutting its links down. Then kResume lets everybody go.
#include "preload/engine/state.h"

extern "C" [[noreturn, gnu::visibility("hidden")]] void omig_depart(omig::u64 slot);

namespace omig::engine {
namespace {

constexpr i64 kArrivalSeconds = 10;
enum Registration : u32 { kRseq = 1, kRobust = 2, kClearTid = 4 };

struct Altstack {
  u64 sp;
  i32 flags;
  i32 pad;
  u64 bytes;
};

bool undecided() { return load(&state().phase) == kUndecided; }

bool decide(u32 phase) {
  u32 from = kUndecided;
  return __atomic_compare_exchange_n(&state().phase, &from, phase, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

i64 now_seconds() { return now_ms() / 1000; }

// What the kernel would touch in the program's memory by itself (or complain about) while that memory is away.
long take_registrations_off(SlotBlock& b, wire::ThreadExtra* extra) {
  u64 clear_tid = 0;
  constexpr u64 kGetTidAddress = 40;
  if (const long ret = sys(__NR_prctl, kGetTidAddress, addr(&clear_tid)); ret != 0) return ret;
  Altstack old{};
  sys(__NR_sigaltstack, 0, addr(&old));
  b.clear_child_tid = clear_tid;
  SignalFrame& frame = frame_of(b);
  frame.altstack_sp = extra->altstack_sp = old.sp;
  frame.altstack_flags = extra->altstack_flags = old.flags;
  frame.altstack_bytes = extra->altstack_bytes = old.bytes;
  extra->clear_child_tid = clear_tid;
  if (b.rseq != 0) {
    constexpr u64 kUnregister = 1;
    if (const long ret = sys(__NR_rseq, b.rseq, b.rseq_bytes, kUnregister, b.rseq_signature); ret != 0) return ret;
    b.taken_off |= kRseq;
  }
  sys(__NR_set_robust_list, 0, 24);
  sys(__NR_set_tid_address, addr(&b.in_use));
  b.taken_off |= kRobust | kClearTid;
  const Altstack none{0, 2 /* SS_DISABLE */, 0, 0};
  sys(__NR_sigaltstack, addr(&none), 0);
  return 0;
}

// False when not everybody came in time, or the move was called off.
bool wait_for_arrivals() {
  Private& st = state();
  const i64 deadline = now_seconds() + kArrivalSeconds;
  for (;;) {
    const u32 arrived = load(&st.arrived);
    if (!undecided()) return false;
    if (arrived >= st.threads) return true;
    const i64 left = deadline - now_seconds();
    if (left <= 0) return false;
    const Timespec timeout{left, 0};
    futex_wait(&st.arrived, arrived, &timeout);
  }
}

// The ear and its link, before the leader's own link: the host needs the signal actions to restore the guest.
bool set_up_ear() {
  Private& st = state();
  wire::ProcessExtra extra;
  fill_extra(&extra);
  lock();
  bool good = undecided();
  if (good) {
    st.leading = 1;
    install_abort_handler();
    good = start_ear() == 0;
  }
  unlock();
  if (!good) return false;
  const i32 tid = static_cast<i32>(load(&st.ear_tid));
  const Link ear{&st.ear_fd, seals_of(block(kEarSlot))};
  if (open_link(ear, present_host(), {wire::Role::ear, kEarSlot, tid, &extra, sizeof extra}) != 0) return false;
  block(kEarSlot).link_fd = st.ear_fd;
  return true;
}

void copy_name(char* to, const char* from) {
  memcpy(to, from, sizeof(Anchor::node));
  to[sizeof(Anchor::node) - 1] = 0;
}

// The host has the whole guest and asks: may it run? Only the answer makes it run, so a thread that called the move off
// meanwhile is still in time.
[[noreturn]] void lead(SlotBlock& b) {
  Private& st = state();
  wire::Frame frame;
  if (recv_exact(b, &frame, sizeof frame) != 0 || frame.type != wire::Type::running) roll_back(b);
  wire::Running running;
  if (frame.bytes != sizeof running || recv_exact(b, &running, sizeof running) != 0) roll_back(b);
  st.alive = st.threads;
  if (!decide(kCommitted)) roll_back(b);
  Anchor& a = anchor();
  copy_name(a.node, running.node);
  a.moves++;
  __atomic_store_n(reinterpret_cast<u32*>(&a.where), static_cast<u32>(Where::away), __ATOMIC_RELEASE);
  futex_wake_all(&st.phase);
  if (send_reply(b, frame.seq, 0) != 0) lost(b);
  serve(b);
}

// The leader waits for the host's word on its link, or is still connecting.
void shut_leader_links() {
  const i32 holders[] = {__atomic_load_n(&state().ear_fd, __ATOMIC_SEQ_CST),
                         __atomic_load_n(&block(state().leader_slot).link_fd, __ATOMIC_SEQ_CST)};
  for (const i32 holder : holders)
    if (holder > 0) sys(__NR_shutdown, static_cast<u64>(holder - 1), 2);
}

void take_down() {
  Private& st = state();
  lock();
  stop_ear();
  if (st.abort_installed) sys(__NR_rt_sigaction, wire::kAbortSignal, addr(&st.abort_action), 0, 8);
  st.abort_installed = 0;
  unlock();
  __atomic_store_n(reinterpret_cast<u32*>(&anchor().where), static_cast<u32>(Where::home), __ATOMIC_RELEASE);
  store_and_wake(&st.phase, kResume);
}

void put_registrations_back(SlotBlock& b) {
  if (b.taken_off & kRseq) sys(__NR_rseq, b.rseq, b.rseq_bytes, 0, b.rseq_signature);
  if (b.taken_off & kRobust) sys(__NR_set_robust_list, b.robust_list, b.robust_bytes);
  if (b.taken_off & kClearTid) sys(__NR_set_tid_address, b.clear_child_tid);
  b.taken_off = 0;
  sys(__NR_arch_prctl, kSetFs, b.fs_base);
}

}  // namespace

void roll_back(SlotBlock& b) {
  Private& st = state();
  const bool first = decide(kRolledBack);
  futex_wake_all(&st.arrived);
  lock();
  const bool leading = st.leading != 0;
  unlock();
  if (st.leader_slot == b.slot) {
    take_down();
  } else if (first) {
    if (leading)
      shut_leader_links();
    else
      take_down();  // nothing was set up; a leader that comes later finds the move called off
  }
  for (u32 phase; (phase = load(&st.phase)) != kResume;) futex_wait(&st.phase, phase);
  close_fd(&b.link_fd);
  resume_as_departed(b);
}

void resume_as_departed(SlotBlock& b) {
  put_registrations_back(b);
  end_cut_short(b);
  __atomic_store_n(&b.in_use, 0, __ATOMIC_RELEASE);
  omig_sigreturn(&frame_of(b));
}

}  // namespace omig::engine

void omig_depart(omig::u64 slot) {
  using namespace omig::engine;
  omig::SlotBlock& b = block(static_cast<omig::u32>(slot));
  Private& st = state();
  set_mask(~0ull);  // should the mover have died before it did that
  b.link_fd = 0;
  b.taken_off = 0;
  b.fs_base = 0;
  sys(__NR_arch_prctl, kGetFs, addr(&b.fs_base));
  use_our_fs();
  if (!undecided()) roll_back(b);
  omig::wire::ThreadExtra extra;
  const bool off = take_registrations_off(b, &extra) == 0;
  __atomic_add_fetch(&st.arrived, 1, __ATOMIC_SEQ_CST);
  futex_wake_all(&st.arrived);
  if (!off || !wait_for_arrivals()) roll_back(b);
  const bool leader = st.leader_slot == slot;
  if (leader && !set_up_ear()) roll_back(b);
  omig::engine::follow_signals(b);
  if (open_link(present_link(b), present_host(), {omig::wire::Role::thread, b.slot, b.tid, &extra, sizeof extra}) != 0)
    roll_back(b);
  if (leader) {
    if (!undecided()) roll_back(b);
    lead(b);
  }
  for (omig::u32 phase; (phase = load(&st.phase)) == kUndecided;) futex_wait(&st.phase, phase);
  if (load(&st.phase) != kCommitted) roll_back(b);
  serve(b);
}
