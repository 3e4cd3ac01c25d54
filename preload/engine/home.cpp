// SPDX-License-Identifier: Apache-2.0
// Coming home. Memory and layout come by write_memory and ordinary calls; each thread's registers by resume_state.
// Until `go` all of it is reversible. `go` reaches every thread; the last one takes the ear and the abort handler down,
// then all of them become the program again.
#include "preload/engine/state.h"

namespace omig::engine {

// Late aborts must not reach the program: they would find its own action of that signal.
void drop_aborts() {
  const u64 mask = bit(wire::kAbortSignal);
  const Timespec now{};
  while (sys(__NR_rt_sigtimedwait, addr(&mask), 0, addr(&now), 8) == wire::kAbortSignal) {
  }
}

// Run by the last thread that got `go`.
void leave_deputy_life(const wire::KernelSigaction& abort_action) {
  Private& st = state();
  __atomic_store_n(&st.phase, static_cast<u32>(kGo), __ATOMIC_SEQ_CST);
  lock();
  stop_ear();
  unlock();
  sys(__NR_rt_sigaction, wire::kAbortSignal, addr(&abort_action), 0, 8);
  drop_stage();
  Anchor& a = anchor();
  a.moves++;
  __atomic_store_n(reinterpret_cast<u32*>(&a.where), static_cast<u32>(Where::home), __ATOMIC_RELEASE);
  memset(a.node, 0, sizeof a.node);
  a.host_port = 0;
  memset(a.token, 0, sizeof a.token);
  store_and_wake(&st.phase, kResume);
}

long serve_write_memory(SlotBlock& b, const wire::Frame& frame) {
  u64 address;
  if (frame.bytes < sizeof address) return -EPROTO;
  if (const long ret = recv_exact(b, &address, sizeof address); ret != 0) return ret;
  __atomic_store_n(&state().image_is_whole, 0, __ATOMIC_SEQ_CST);
  return recv_into_memory(b, address, frame.bytes - sizeof address);
}

long take_resume_state(SlotBlock& b, const wire::Frame& frame, Source source) {
  wire::ResumeState resume;
  if (frame.bytes < sizeof resume) return -EPROTO;
  if (const long ret = source(b, &resume, sizeof resume); ret != 0) return ret;
  const bool fits = resume.frame_bytes >= sizeof(SignalFrame) && resume.frame_bytes <= kFrameMaxBytes &&
                    resume.fpstate_offset < resume.frame_bytes && resume.fpstate_offset % 64 == 0;
  if (frame.bytes != sizeof resume + resume.frame_bytes || !fits) return -EPROTO;
  SignalFrame& kept = frame_of(b);
  if (const long ret = source(b, &kept, resume.frame_bytes); ret != 0) return ret;
  if (resume.fpstate_offset != 0) kept.fpstate = addr(&kept) + resume.fpstate_offset;
  if (resume.altstack_bytes != 0 || resume.altstack_flags != 0) {
    kept.altstack_sp = resume.altstack_sp;
    kept.altstack_flags = resume.altstack_flags;
    kept.altstack_bytes = resume.altstack_bytes;
  }
  b.fs_base = resume.fs_base;
  b.gs_base = resume.gs_base;
  b.clear_child_tid = resume.clear_child_tid;
  b.robust_list = resume.robust_list;
  b.robust_bytes = resume.robust_bytes;
  b.rseq = resume.rseq;
  b.rseq_bytes = resume.rseq_bytes;
  b.rseq_signature = resume.rseq_signature;
  b.resume_threads = resume.threads;
  rest_of(b) = {
      0, 0, resume.rest_original, resume.rest_deadline_ns, static_cast<RestHow>(resume.rest_how), resume.rest_argument};
  b.cut_short = resume.cut_short;
  b.done_bytes = resume.done_bytes;
  b.has_resume = 1;
  return 0;
}

long serve_resume_state(SlotBlock& b, const wire::Frame& frame) {
  __atomic_store_n(&state().image_is_whole, 0, __ATOMIC_SEQ_CST);
  if (const long ret = take_resume_state(b, frame, recv_exact); ret != 0) return ret;
  const i32 error = b.write_error;
  b.write_error = 0;
  return send_reply(b, frame.seq, error);
}

long serve_go(SlotBlock& b, const wire::Frame& frame) {
  wire::KernelSigaction abort_action;
  if (frame.bytes != sizeof abort_action || !b.has_resume) return -EPROTO;
  if (const long ret = recv_exact(b, &abort_action, sizeof abort_action); ret != 0) return ret;
  Private& st = state();
  set_mask(~0ull);
  if (__atomic_add_fetch(&st.ready, 1, __ATOMIC_SEQ_CST) == b.resume_threads) leave_deputy_life(abort_action);
  for (u32 phase; (phase = load(&st.phase)) != kResume;) futex_wait(&st.phase, phase);
  drop_aborts();
  // Home is final now: whether the host still hears this is no longer our concern.
  send_reply(b, frame.seq, 0);
  close_fd(&b.link_fd);
  trim_scratch(b, 0);
  trim_kept(b);
  resume_from_frame(b);
}

namespace {

void finish_write(SlotBlock& b, SignalFrame& frame) {
  const u64 at = finish_frame_at(frame.rsp);
  const FinishFrame finish{b.done_bytes, frame.rip + 2, frame.rsi, frame.rdx, frame.rsp};
  memcpy(reinterpret_cast<void*>(at), &finish, sizeof finish);
  frame.rsi += b.done_bytes;
  frame.rdx -= b.done_bytes;
  frame.rsp = at;
  frame.rip = addr(omig_finish_write);
}

}  // namespace

// The thread is about to issue again a call that a move cut short. If a handler will run first, the call has ended by
// that signal. All signals are blocked until omig_sigreturn, so all that wait are seen but those of the last
// microsecond.
void end_cut_short(SlotBlock& b) {
  constexpr u64 kIgnoredByDefault = bit(17) | bit(18) | bit(23) | bit(28), kIgnore = 1, kRestart = 0x10000000;
  if (b.cut_short == wire::CutShort::no) return;
  SignalFrame& frame = frame_of(b);
  u64 pending = 0;
  sys(__NR_rt_sigpending, addr(&pending), 8);
  pending &= ~frame.sigmask;
  for (int signal = 1; signal <= 64; ++signal) {
    if ((pending & bit(signal)) == 0) continue;
    wire::KernelSigaction action{};
    sys(__NR_rt_sigaction, static_cast<u64>(signal), 0, addr(&action), 8);
    if (action.handler == kIgnore || (action.handler == 0 && (kIgnoredByDefault & bit(signal)) != 0)) continue;
    const bool restarts = b.cut_short == wire::CutShort::restart && (action.flags & kRestart) != 0;
    if (action.handler == 0 || (restarts && b.done_bytes == 0)) break;
    const u64 rest_at = frame.rax == __NR_nanosleep ? frame.rsi : frame.rax == __NR_clock_nanosleep ? frame.r10 : 0;
    const u64 rest_from = addr(&rest_of(b)), sleep = frame.rax == __NR_nanosleep ? frame.rdi : frame.rdx;
    if (rest_at != 0 && sleep == rest_from) {  // by the kernel: the program's pointer may be bad
      const Vector from{reinterpret_cast<const void*>(rest_from), 16}, to{reinterpret_cast<const void*>(rest_at), 16};
      sys(__NR_process_vm_writev, sys(__NR_getpid), addr(&from), 1, addr(&to), 1, 0);
    }
    frame.rax = b.done_bytes != 0 ? b.done_bytes : static_cast<u64>(-EINTR);
    frame.rip += 2;
    return;
  }
  if (b.done_bytes != 0) finish_write(b, frame);
}

void resume_from_frame(SlotBlock& b) {
  sys(__NR_arch_prctl, kSetFs, b.fs_base);
  sys(__NR_arch_prctl, kSetGs, b.gs_base);
  sys(__NR_set_robust_list, b.robust_list, b.robust_bytes != 0 ? b.robust_bytes : 24);
  sys(__NR_set_tid_address, b.clear_child_tid);
  if (b.rseq != 0) sys(__NR_rseq, b.rseq, b.rseq_bytes, 0, b.rseq_signature);
  b.has_resume = 0;
  renew_rest(b);
  const u64 call_at = frame_of(b).rip;
  end_cut_short(b);
  if (frame_of(b).rip == call_at) wait_first(b);
  __atomic_store_n(&b.in_use, 0, __ATOMIC_RELEASE);
  omig_sigreturn(&frame_of(b));
}

}  // namespace omig::engine
