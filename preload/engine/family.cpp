// SPDX-License-Identifier: Apache-2.0
// What makes and ends processes and threads at home, in step with the guest's.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

constexpr u64 kCloneParent = 0x8000;
constexpr u64 kThreadFlags =
    0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x100000 /* PARENT_SETTID */ | 0x200000 /* CHILD_CLEARTID */;

// The child of a deputy has copies of the descriptors of every deputy thread, and of their memory.
void forget_the_parent(SlotBlock& b) {
  Private& st = state();
  for (u32 slot = 0; slot < anchor().slots_used; ++slot) {
    SlotBlock& other = block(slot);
    close_fd(&other.link_fd);
    close_fd(&other.next_link_fd);
    if (other.in_use != 0) other.in_use = 0;
  }
  if (st.ear_fd != 0) close_fd(&block(kEarSlot).next_link_fd);
  close_fd(&st.ear_fd);
  close_fd(&st.ear_next_fd);
  close_fd(&st.signal_fd);
  close_fd(&st.relink_fd);
  close_fd(&st.stage_fd);
  const wire::KernelSigaction abort_action = st.abort_action;
  memset(&st, 0, sizeof st);
  st.abort_action = abort_action;
  st.leader_slot = b.slot;
  st.threads = st.alive = 1;
}

[[noreturn]] void live_as_child(SlotBlock& b) {
  Private& st = state();
  forget_the_parent(b);
  b.tid = static_cast<i32>(sys(__NR_getpid));
  b.in_use = 1;
  b.abort_seq = b.last_seq = 0;
  b.directed_state = 0;
  b.signals_told = 0;
  forget_input(b);
  b.relinks = 0;
  b.has_resume = 0;
  b.write_error = 0;
  sys(__NR_set_tid_address, addr(&b.in_use));
  wire::ProcessExtra actions;
  fill_extra(&actions);
  actions.actions[wire::kAbortSignal - 1] = st.abort_action;
  lock();
  const bool started = start_ear() == 0;
  unlock();
  const wire::ThreadExtra extra;
  const i32 ear_tid = static_cast<i32>(load(&st.ear_tid));
  const Link ear{&st.ear_fd, seals_of(block(kEarSlot))};
  if (!started || open_link(ear, present_host(), {wire::Role::ear, kEarSlot, ear_tid, &actions, sizeof actions}) != 0 ||
      open_link(present_link(b), present_host(), {wire::Role::thread, b.slot, b.tid, &extra, sizeof extra}) != 0) {
    say("omig: the node ", anchor().node, static_cast<u64>(b.tid),
        " was born on cannot be reached; the process ends (status 127)\n");
    exit_group(127);
  }
  block(kEarSlot).link_fd = st.ear_fd;
  store_and_wake(&st.phase, kCommitted);
  serve(b);
}

[[noreturn]] void live_as_thread(u64 slot) {
  SlotBlock& b = block(static_cast<u32>(slot));
  const wire::ThreadExtra extra;
  follow_signals(b);
  if (open_link(present_link(b), present_host(), {wire::Role::thread, b.slot, b.tid, &extra, sizeof extra}) != 0)
    lost(b);
  serve(b);
}

// Takes a free slot, mapped and cleared, or returns kMaxSlots.
u32 take_slot() {
  u32 slot = 0;
  const u32 used = anchor().slots_used;
  while (slot < used && __atomic_load_n(&block(slot).in_use, __ATOMIC_ACQUIRE) != 0) ++slot;
  if (slot >= kMaxSlots) return kMaxSlots;
  if (slot == used) {
    if (!map_slot(slot)) return kMaxSlots;
    anchor().slots_used = used + 1;
  }
  SlotBlock& b = block(slot);
  trim_scratch(b, 0);
  trim_kept(b);
  memset(&b, 0, sizeof b);
  b.slot = slot;
  b.in_use = 1;
  return slot;
}

u64 count_strings(const char* text, u64 bytes) {
  u64 count = 0;
  for (u64 i = 0; i < bytes; ++i) count += text[i] == 0;
  return count;
}

const char* fill_pointers(u64* pointers, u64 count, const char* text) {
  for (u64 i = 0; i < count; ++i) {
    pointers[i] = addr(text);
    while (*text != 0) ++text;
    ++text;
  }
  pointers[count] = 0;
  return text;
}

// exec keeps ignored signals ignored and resets handlers. A handler must be there until then where the program has one:
// setting a signal to its default would throw a pending one away if the default is to ignore it.
// The abort handler stays as long as it can, because a late abort would otherwise kill.
void set_actions_for_exec(const wire::Exec& exec) {
  for (int signal = 1; signal <= 64; ++signal) {
    if (exec.ignored & bit(signal))
      set_action(signal, 1 /* SIG_IGN */);
    else if (signal == wire::kAbortSignal)
      continue;
    else
      set_action(signal, exec.handled & bit(signal) ? noop_handler() : 0, 0x10000000 /* SA_RESTART */);
  }
}

// While the exec is under way, signals stay pending: they belong to the new program. None but ours: what the ear is
// just sending us is taken here, by the handler that we still have.
void hold_ear(u32 hold) {
  Private& st = state();
  __atomic_store_n(&st.ear_hold, hold, __ATOMIC_SEQ_CST);
  wake_ear();
  while (hold != 0 && __atomic_load_n(&st.ear_poking, __ATOMIC_SEQ_CST) != 0) sys(__NR_sched_yield);
}

long run_exec(SlotBlock& b, const wire::Exec& exec, const char* path, const u64* argv, const u64* envp) {
  const u64 argv_or_null = exec.argv_null ? 0 : addr(argv);
  wire::ProcessExtra kept;
  fill_extra(&kept);
  hold_ear(1);
  keep_directed(b);
  set_actions_for_exec(exec);
  set_mask(exec.sigmask);
  const long ret = exec.is_at ? sys(__NR_execveat, static_cast<u64>(static_cast<i64>(exec.dirfd)), addr(path),
                                    argv_or_null, addr(envp), exec.at_flags)
                              : sys(__NR_execve, addr(path), argv_or_null, addr(envp));
  set_mask(~bit(wire::kAbortSignal));
  for (u64 signal = 1; signal <= 64; ++signal) sys(__NR_rt_sigaction, signal, addr(&kept.actions[signal - 1]), 0, 8);
  hold_ear(0);
  return ret;
}

}  // namespace

bool map_slot(u32 slot) {
  constexpr u64 kReadWrite = 3, kPrivateAnonymousFixedNoReplace = 0x100022;
  const long at =
      sys(__NR_mmap, slot_address(slot), kSlotMapped, kReadWrite, kPrivateAnonymousFixedNoReplace, ~0ull, 0);
  return at == -EEXIST || at == static_cast<long>(slot_address(slot));
}

long serve_fork(SlotBlock& b, const wire::Frame& frame) {
  wire::Fork fork;
  if (frame.bytes != sizeof fork) return -EPROTO;
  if (const long ret = recv_exact(b, &fork, sizeof fork); ret != 0) return ret;
  count_effect();
  lock();
  const long pid = sys(__NR_clone, fork.clone_flags & (0xff | kCloneParent), 0, 0, 0, 0);
  if (pid == 0) live_as_child(b);
  unlock();
  return send_reply(b, frame.seq, pid);
}

long serve_new_thread(SlotBlock& b, const wire::Frame& frame) {
  if (const long ret = drain(b, frame.bytes); ret != 0) return ret;
  Private& st = state();
  count_effect();
  lock();
  const u32 slot = take_slot();
  long tid = -EAGAIN;
  if (slot < kMaxSlots) {
    SlotBlock& fresh = block(slot);
    __atomic_add_fetch(&st.alive, 1, __ATOMIC_SEQ_CST);
    fresh.relinks = b.relinks;
    const u64 all = ~0ull, open = ~bit(wire::kAbortSignal);
    sys(__NR_rt_sigprocmask, kSetMask, addr(&all), 0, 8);
    tid = omig_clone(kThreadFlags, slot_address(slot) + kSlotStackTop, &fresh.tid, &fresh.in_use, live_as_thread, slot);
    sys(__NR_rt_sigprocmask, kSetMask, addr(&open), 0, 8);
    if (tid < 0) {
      fresh.in_use = 0;
      __atomic_sub_fetch(&st.alive, 1, __ATOMIC_SEQ_CST);
    }
  }
  unlock();
  return send_reply(b, frame.seq, tid);
}

long serve_exec(SlotBlock& b, const wire::Frame& frame) {
  count_effect();
  wire::Exec exec;
  if (frame.bytes <= sizeof exec) return -EPROTO;
  const u64 bytes = frame.bytes - sizeof exec;
  if (const long ret = recv_exact(b, &exec, sizeof exec); ret != 0) return ret;
  const u64 strings = page_up(bytes), pointers = (static_cast<u64>(exec.argc) + exec.envc + 2) * 8;
  if (exec.argc > bytes || exec.envc > bytes) return -EPROTO;
  if (ensure_scratch(b, strings + pointers) != 0) {
    if (const long ret = drain(b, bytes); ret != 0) return ret;
    return send_reply(b, frame.seq, -ENOMEM);
  }
  auto text = reinterpret_cast<char*>(b.scratch);
  if (const long ret = recv_exact(b, text, bytes); ret != 0) return ret;
  if (count_strings(text, bytes) != 1ull + exec.argc + exec.envc || text[bytes - 1] != 0) return -EPROTO;
  auto argv = reinterpret_cast<u64*>(b.scratch + strings);
  u64* envp = argv + exec.argc + 1;
  u64 path;
  const char* rest = text;
  while (*rest != 0) ++rest;
  path = addr(text);
  rest = fill_pointers(argv, exec.argc, rest + 1);
  fill_pointers(envp, exec.envc, rest);
  return send_reply(b, frame.seq, run_exec(b, exec, reinterpret_cast<const char*>(path), argv, envp));
}

// The ear must not outlive the last deputy thread: it would keep the process alive.
long serve_exit(SlotBlock& b, const wire::Frame& frame) {
  count_effect();
  u64 status;
  if (frame.bytes != sizeof status) return -EPROTO;
  if (const long ret = recv_exact(b, &status, sizeof status); ret != 0) return ret;
  if (frame.type == wire::Type::exit_group) exit_group(static_cast<int>(status));
  Private& st = state();
  close_fd(&b.link_fd);
  trim_scratch(b, 0);
  if (__atomic_sub_fetch(&st.alive, 1, __ATOMIC_SEQ_CST) == 0) {
    lock();
    stop_ear();
    unlock();
  }
  exit_thread(static_cast<int>(status));
}

}  // namespace omig::engine
