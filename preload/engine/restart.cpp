// SPDX-License-Identifier: Apache-2.0
// The host is gone, and the process goes on at home from the image that home has (docs/PROTOCOL.md, Protection).
//
// Only if nobody can tell: since the image was made the deputy has done nothing that somebody else could have seen or
// that changed the process itself. So everything is counted that is not marked by the host as harmless and that did not
// fail; what can be taken back (positions of files, descriptors that were opened for reading) is noted instead. What
// the guest was told meanwhile it asks for again.
//
// All threads must come here: the ones that sit in a call are fetched out of it, as for a move.
#include "preload/engine/state.h"

namespace omig::engine {
namespace {

constexpr i64 kPatienceMs = 10'000;  // for threads that sit in a call which cannot be interrupted
enum Restarting : u32 { kNot = 0, kComing = 1, kRefused = 2 };
constexpr u64 kSeekCurrent = 1, kSeekSet = 0;

struct TouchedLock {
  TouchedLock() {
    while (__atomic_exchange_n(&state().touched_lock, 1, __ATOMIC_ACQUIRE) != 0) sys(__NR_sched_yield);
  }
  ~TouchedLock() { __atomic_store_n(&state().touched_lock, 0, __ATOMIC_RELEASE); }
};

Touched* touched(i32 holder) {
  for (Touched& each : state().touched)
    if (each.holder == holder) return &each;
  return nullptr;
}

// A file whose content stays where it is: no pipe, no terminal, no socket.
bool is_plain(u64 fd) {
  struct {
    u64 device, inode, links;
    u32 mode;
    u8 rest[256];
  } status;
  constexpr u32 kFormat = 0170000, kRegular = 0100000, kDirectory = 0040000;
  if (failed(sys(__NR_fstat, fd, addr(&status)))) return false;
  return (status.mode & kFormat) == kRegular || (status.mode & kFormat) == kDirectory;
}

bool note_position(u64 fd) {
  const i32 holder = static_cast<i32>(fd) + 1;
  const TouchedLock lock;
  if (touched(holder) != nullptr) return true;
  Touched* const free = touched(0);
  const long position = free != nullptr && is_plain(fd) ? sys(__NR_lseek, fd, 0, kSeekCurrent) : -1;
  if (position < 0) return false;
  *free = {holder, 0, position};
  return true;
}

bool note_opened(u64 fd) {
  const TouchedLock lock;
  Touched* const free = is_plain(fd) ? touched(0) : nullptr;
  if (free == nullptr) return false;
  *free = {static_cast<i32>(fd) + 1, 1, 0};
  return true;
}

bool closes_what_was_opened(u64 fd) {
  const TouchedLock lock;
  Touched* const known = touched(static_cast<i32>(fd) + 1);
  if (known == nullptr || known->opened == 0) return false;
  known->holder = 0;
  return true;
}

void take_back() {
  for (Touched& each : state().touched) {
    if (each.holder == 0) continue;
    const u64 fd = static_cast<u64>(each.holder - 1);
    if (each.opened != 0)
      sys(__NR_close, fd);
    else
      sys(__NR_lseek, fd, static_cast<u64>(each.position), kSeekSet);
    each.holder = 0;
  }
}

// Errors after which nothing has changed. A connect that was interrupted goes on; a close has closed.
bool did_nothing(const wire::Call& call, i64 ret) {
  if (call.nr == __NR_connect || call.nr == __NR_close) return false;
  switch (-ret) {
    case EINTR:
    case EAGAIN:
    case ENOENT:
    case EEXIST:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case EBADF:
    case EINVAL:
    case ENOTTY:
    case ESRCH:
    case ECHILD:
    case ENOSYS:
    case EFAULT: return true;
    default: return false;
  }
}

void fetch_the_others(const SlotBlock& own) {
  const u64 pid = static_cast<u64>(sys(__NR_getpid));
  for (u32 slot = 0; slot < anchor().slots_used; ++slot) {
    SlotBlock& b = block(slot);
    if (b.slot == own.slot || __atomic_load_n(&b.in_use, __ATOMIC_ACQUIRE) == 0) continue;
    __atomic_store_n(&b.abort_seq, b.last_seq, __ATOMIC_SEQ_CST);
    const i32 holder = __atomic_load_n(&b.link_fd, __ATOMIC_SEQ_CST);
    if (holder > 0) sys(__NR_shutdown, static_cast<u64>(holder - 1), 2);
    sys(__NR_tgkill, pid, static_cast<u64>(b.tid), wire::kAbortSignal);
  }
}

void note_reason() {
  Anchor& a = anchor();
  char* const text = a.came_home_for;
  constexpr u64 kLimit = sizeof a.came_home_for - 1;
  u64 at = append(text, 0, kLimit, a.node);
  at = append(text, at, kLimit, " is gone; it goes on from its image of ");
  at = append_number(text, at, static_cast<u64>(now_ms() - state().image_ms) / 1000);
  at = append(text, at, kLimit, " s before");
  text[at] = 0;
}

// By the last thread that has come.
bool decide() {
  Private& st = state();
  if (load(&st.image_is_whole) == 0 || load(&st.effects) != 0) {
    store_and_wake(&st.restarting, static_cast<u32>(kRefused));
    return false;
  }
  take_back();
  sys(__NR_munmap, kPinsAddress, kPinsBytes);  // files that were mapped aside for the way home
  note_reason();
  leave_deputy_life(st.abort_action);
  return true;
}

[[noreturn]] void go_on(SlotBlock& b) {
  set_mask(~0ull);
  drop_aborts();
  close_fd(&b.link_fd);
  trim_scratch(b, 0);
  trim_kept(b);
  if (b.has_resume != 0) resume_from_frame(b);
  resume_as_departed(b);
}

}  // namespace

bool begin_effect(const wire::Call& call) {
  if (load(&state().image_is_whole) == 0 || (call.flags & wire::kCallHarmless) != 0) return false;
  if ((call.flags & wire::kCallReads) != 0 && note_position(call.args[0])) return false;
  if ((call.flags & wire::kCallCloses) != 0 && closes_what_was_opened(call.args[0])) return false;
  __atomic_add_fetch(&state().effects_under_way, 1, __ATOMIC_SEQ_CST);
  count_effect();
  return true;
}

void end_effect(const wire::Call& call, i64 ret, u32 reply_flags) {
  const bool nothing = (reply_flags & wire::kReplyNotRun) != 0 || (ret < 0 && did_nothing(call, ret));
  const bool undone = ret >= 0 && (call.flags & wire::kCallOpens) != 0 && note_opened(static_cast<u64>(ret));
  if (nothing || undone) __atomic_sub_fetch(&state().effects, 1, __ATOMIC_SEQ_CST);
  __atomic_sub_fetch(&state().effects_under_way, 1, __ATOMIC_SEQ_CST);
}

void count_effect() { __atomic_add_fetch(&state().effects, 1, __ATOMIC_SEQ_CST); }

bool is_past_image() {
  return load(&state().image_is_whole) != 0 && load(&state().effects) > load(&state().effects_under_way);
}

long serve_image(SlotBlock& b, const wire::Frame& frame) {
  Private& st = state();
  wire::KernelSigaction abort_action;
  if (frame.bytes != sizeof abort_action) return -EPROTO;
  if (const long ret = recv_exact(b, &abort_action, sizeof abort_action); ret != 0) return ret;
  if (const i32 error = st.stage_error; error != 0) {  // so the older image stays
    drop_stage();
    return send_reply(b, frame.seq, error);
  }
  st.abort_action = abort_action;
  for (Touched& each : st.touched) each.holder = 0;
  st.image_ms = now_ms();
  __atomic_store_n(&st.effects, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&st.image_is_whole, 1, __ATOMIC_SEQ_CST);
  // All that it takes is here: from now on whoever wants to go on waits for us.
  const long ret = has_stage() ? carry_out_stage(b) : 0;
  if (ret == 0)
    anchor().images++;
  else
    __atomic_store_n(&st.image_is_whole, 0, __ATOMIC_SEQ_CST);
  return send_reply(b, frame.seq, ret);
}

void restart(SlotBlock& b) {
  Private& st = state();
  if (load(&st.image_is_whole) == 0 || load(&st.phase) != kCommitted) return;
  u32 not_yet = kNot;
  if (__atomic_compare_exchange_n(&st.restarting, &not_yet, static_cast<u32>(kComing), false, __ATOMIC_SEQ_CST,
                                  __ATOMIC_SEQ_CST))
    fetch_the_others(b);
  i64 deadline = now_ms() + kPatienceMs;
  const bool counts = b.slot != kEarSlot;  // the ear is stopped by whoever decides
  const bool last = counts && __atomic_add_fetch(&st.came_back, 1, __ATOMIC_SEQ_CST) == load(&st.alive);
  if (last && decide()) go_on(b);
  while (load(&st.restarting) == kComing) {
    if (!counts && load(&st.ear_stop) != 0) exit_thread(0);
    if (counts && load(&st.phase) == kResume) go_on(b);
    if (load(&st.carrying_out) != 0) deadline = now_ms() + kPatienceMs;
    if (now_ms() > deadline) store_and_wake(&st.restarting, static_cast<u32>(kRefused));
    doze();
  }
}

}  // namespace omig::engine
