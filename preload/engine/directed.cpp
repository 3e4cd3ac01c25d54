// SPDX-License-Identifier: Apache-2.0
// Signals that somebody else has sent to one thread (tgkill from outside, F_OWNER_TID). They are pending for the deputy
// thread alone: neither the ear's signalfd nor its sigtimedwait sees them. homed sees them in /proc and has the host
// ask; the thread, woken by kAbortSignal, takes one and leaves it in its slot; the ear sends it.
//
// A slot's state goes idle -> asked (ear) -> taking (thread) -> taken (thread) -> idle (ear). A wake-up that finds the
// thread on its way into a call is lost; homed asks again while the signal is pending.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

enum Directed : u32 { kIdle = 0, kAsked = 1, kTaking = 2, kTaken = 3 };

bool become(SlotBlock& b, u32 from, u32 to) {
  return __atomic_compare_exchange_n(&b.directed_state, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

long send_one(SlotBlock& ear, SlotBlock& b) {
  struct {
    wire::Frame frame;
    wire::Directed directed;
  } message{{wire::Type::directed, sizeof(wire::Directed), 0}, {}};
  message.directed.slot = b.slot;
  count_effect();
  memcpy(message.directed.info, b.directed_info, sizeof b.directed_info);
  Vector part{&message, sizeof message};
  return send_all(ear, &part, 1);
}

}  // namespace

bool take_directed(SlotBlock& b) {
  if (!become(b, kAsked, kTaking)) return false;
  while (b.directed_mask != 0) {
    const u64 mask = b.directed_mask & ~(b.directed_mask - 1);
    b.directed_mask &= ~mask;
    const Timespec now{};
    long got;
    do got = sys(__NR_rt_sigtimedwait, addr(&mask), addr(b.directed_info), addr(&now), 8);
    while (got == -EINTR);
    if (failed(got)) continue;
    become(b, kTaking, kTaken);
    __atomic_store_n(&state().directed, 1, __ATOMIC_SEQ_CST);
    wake_ear();
    return true;
  }
  become(b, kTaking, kIdle);
  return false;
}

void keep_directed(SlotBlock& b) {
  if (!become(b, kTaken, kIdle)) return;
  i32 signal;
  memcpy(&signal, b.directed_info, sizeof signal);
  sys(__NR_rt_tgsigqueueinfo, sys(__NR_getpid), static_cast<u64>(b.tid), static_cast<u64>(signal),
      addr(b.directed_info));
}

void ask_for_directed(const wire::TakeDirected& order) {
  if (order.slot >= anchor().slots_used) return;
  SlotBlock& b = block(order.slot);
  if (__atomic_load_n(&b.in_use, __ATOMIC_ACQUIRE) == 0) return;
  const u64 mask = order.mask & wanted();
  if (mask == 0) return;
  if (become(b, kIdle, kTaking)) {
    b.directed_mask = mask;
    become(b, kTaking, kAsked);
  }
  poke(b);
}

long send_directed(SlotBlock& ear) {
  if (__atomic_exchange_n(&state().directed, 0, __ATOMIC_SEQ_CST) == 0) return 0;
  for (u32 slot = 0; slot < anchor().slots_used; ++slot) {
    SlotBlock& b = block(slot);
    if (load(&b.directed_state) != kTaken) continue;
    if (const long ret = send_one(ear, b); ret != 0) return ret;
    const bool more = b.directed_mask != 0;
    if (become(b, kTaken, more ? kAsked : kIdle) && more) poke(b);
  }
  return 0;
}

long settle_directed(SlotBlock& ear) {
  for (u32 slot = 0; slot < anchor().slots_used; ++slot) {
    SlotBlock& b = block(slot);
    if (load(&b.directed_state) == kIdle) continue;
    b.directed_mask = 0;
    while (!become(b, kAsked, kIdle) && load(&b.directed_state) == kTaking) sys(__NR_sched_yield);
  }
  return send_directed(ear);
}

}  // namespace omig::engine
