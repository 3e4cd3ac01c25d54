// SPDX-License-Identifier: Apache-2.0
// Signals of a guest (SIGNALS.md has the proof and the rule numbers).
//
// A signal reaches the process at home, where every deputy thread blocks it; the ear takes it and sends the siginfo
// here. It is queued into the guest's own kernel (R2), which knows masks, merging and order. If the thread that ought
// to take it sits in a forwarded call, the call is aborted at home (R3, R4); the answer -ERESTARTSYS, guarded by
// PTRACE_INTERRUPT (R6), makes the guest's kernel run the handler and restart or not. The tracer sees each delivery and
// puts exact siginfo and the right restart in place (R0, R7).
#include <errno.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "homed/host/proc.h"
#include "homed/host/visit.h"
#include "lib/base/patience.h"

namespace omig::host {
namespace {

// A code that lets every byte of siginfo pass: the kernel forbids codes >= 0 and SI_TKILL to others, and in all layouts
// with a pid and uid it replaces them when the sender is in another pid or user namespace. SI_SIGIO's layout has
// neither. The true code travels in si_errno, which no signal we carry uses.
constexpr int kCarrierCode = SI_SIGIO;
constexpr u32 kCarrierTag = 0x4D0D0000, kCarrierMask = 0xffff0000, kCodeShift = 0x8000;
// A signal of our own, whose effect is meant and which the program must not see.
constexpr int kOurs = 0x4D0E0000;
constexpr u64 bit(int signal) { return 1ull << (signal - 1); }

bool catches(const GuestThread& t, int signal) {
  const auto masks = read_masks(t.status.get());
  return masks && (masks->caught & bit(signal)) != 0;
}

bool acts_by_default(const GuestThread& t, int signal) {
  const auto masks = read_masks(t.status.get());
  return masks && ((masks->caught | masks->ignored) & bit(signal)) == 0;
}

// What the thread blocks where it is now; nothing known of it: everything.
u64 blocked_in(const GuestThread& t, const std::optional<SignalMasks>& masks) {
  if (t.in_call && t.temporary_mask) return *t.temporary_mask;
  return masks ? masks->blocked : ~0ull;
}

bool unwanted(const SignalMasks& masks, int signal) { return (unwanted_signals(masks) & bit(signal)) != 0; }

// A signal that the kernel drops when its turn comes. (A stop and its SIGCONT do interrupt, also without a handler.)
bool is_dropped(const GuestThread& t, int signal) {
  const auto masks = read_masks(t.status.get());
  return masks && signal != SIGCONT && unwanted(*masks, signal);
}

// While a thread begins or ends, C libraries and Go block everything, also signal 32, their own, which no program can
// block through them. Nobody waits then for a signal that would be ignored; queued, it would end another thread's
// sigtimedwait.
bool only_for_a_moment(u64 blocked) { return (blocked & bit(32)) != 0; }

siginfo_t our_siginfo(int signal) {
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = kCarrierCode;
  info.si_errno = kOurs;
  return info;
}

bool is_ours(const siginfo_t& info) { return info.si_code == kCarrierCode && info.si_errno == kOurs; }

}  // namespace

void encode_siginfo(siginfo_t* info) {
  info->si_errno =
      static_cast<int>(kCarrierTag | (static_cast<u32>(info->si_code + static_cast<int>(kCodeShift)) & 0xffff));
  info->si_code = kCarrierCode;
}

bool decode_siginfo(siginfo_t* info) {
  const u32 carried = static_cast<u32>(info->si_errno);
  if (info->si_code != kCarrierCode || (carried & kCarrierMask) != kCarrierTag) return false;
  info->si_code = static_cast<int>(carried & 0xffff) - static_cast<int>(kCodeShift);
  info->si_errno = 0;
  return true;
}

bool Visit::ear_frame(Guest& guest, wire::Type type, u64 seq, const void* body, size_t bytes) {
  const std::lock_guard lock(guest.ear_mutex);
  return send_frame(guest.ear, type, seq, body, bytes);
}

void Visit::start_ear(std::shared_ptr<Guest> guest) {
  ++ears_;
  std::thread([this, guest] {
    ear_loop(guest);
    --ears_;
  }).detach();
}

// Reads what the ear says until the link ends, which means that the deputy is gone, became another program by exec, or
// went home.
void Visit::ear_loop(std::shared_ptr<Guest> guest) {
  SealedLink& ear = guest->ear;
  constexpr size_t kHeardAfter = 32;  // signals: a deputy keeps them until then
  size_t unheard = 0;
  for (;;) {
    wire::Frame frame;
    if (!ear.receive(&frame, sizeof frame)) break;
    if (frame.type == wire::Type::signal && frame.bytes == sizeof(siginfo_t)) {
      std::vector<siginfo_t> together(1);
      u64 last = frame.seq;
      if (!ear.receive(together.data(), sizeof(siginfo_t))) break;
      struct {
        wire::Frame frame;
        siginfo_t info;
      } next;
      while (ear.peek(&next, sizeof next) && next.frame.type == wire::Type::signal) {
        if (!ear.receive(&next, sizeof next)) break;
        together.push_back(next.info);
        last = next.frame.seq;
      }
      deliver_process(*guest, together);
      if ((unheard += together.size()) >= kHeardAfter) {
        unheard = 0;
        ear_frame(*guest, wire::Type::heard, 0, nullptr, 0);
      }
      const std::lock_guard lock(mutex_);
      guest->signals_seen = static_cast<u32>(last);
      signals_came_.notify_all();
    } else if (frame.type == wire::Type::directed && frame.bytes == sizeof(wire::Directed)) {
      wire::Directed directed;
      if (!ear.receive(&directed, sizeof directed)) break;
      siginfo_t info;
      static_assert(sizeof info == sizeof directed.info);
      memcpy(&info, directed.info, sizeof info);
      if (const auto t = thread_in_slot(*guest, directed.slot)) deliver_thread(*t, info);
    } else if (frame.type == wire::Type::reply && frame.bytes == sizeof(wire::Reply)) {
      wire::Reply reply;
      if (!ear.receive(&reply, sizeof reply)) break;
      const std::lock_guard lock(mutex_);
      if (frame.seq == guest->stop_seq && reply.ret == 0) {  // home's process did not stop, so this one must not either
        guest->stop_seq = 0;
        let_continue(*guest);
      }
      if (const auto ack = guest->ear_acks.find(frame.seq); ack != guest->ear_acks.end()) {
        ack->second->set_value();
        guest->ear_acks.erase(ack);
      }
    } else {
      break;
    }
  }
  deputy_gone(*guest);
  // Before it goes home a deputy stops its ear: what its threads say afterwards is heard, but they do not come back.
  for (const auto& t : threads_of(*guest)) t->link.expect_nobody();
  {
    const std::lock_guard lock(mutex_);
    guest->ear_over = true;
    signals_came_.notify_all();
  }
  let_go(*guest);
}

bool Visit::exclude(Guest& guest, u64 mask, milliseconds timeout) {
  const auto done = std::make_shared<std::promise<void>>();
  u64 seq = 0;
  {
    const std::lock_guard lock(mutex_);
    seq = ++guest.ear_seq;
    guest.ear_acks[seq] = done;
  }
  if (!ear_frame(guest, wire::Type::exclude, seq, &mask, sizeof mask)) return false;
  const auto answered = done->get_future();
  Patience patience(timeout);
  return patience.until([&](milliseconds slice) { return answered.wait_for(slice) == std::future_status::ready; });
}

void Visit::kick(GuestThread& t) {
  if (!t.in_call || !t.abortable || t.aborting) return;
  t.aborting = true;
  const wire::AbortCall abort{t.slot, 0, t.call_seq};
  ear_frame(*t.guest, wire::Type::abort_call, 0, &abort, sizeof abort);
}

// All of them are queued before the tracer lets any handler run (on_signal_stop takes the same mutex).
void Visit::deliver_process(Guest& guest, const std::vector<siginfo_t>& together) {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<GuestThread>> targets;
  for (const siginfo_t& info : together) {
    if (auto target = queue_process(guest, info)) targets.push_back(target);
  }
  for (const auto& target : targets) kick(*target);
}

// Before a call ends, what was raised at home until then is queued here.
void Visit::await_signals(Guest& guest, u32 sent) {
  if (sent == 0) return;
  std::unique_lock lock(mutex_);
  const auto seen = [&] { return static_cast<i32>(guest.signals_seen - sent) >= 0 || guest.ear_over || guest.ending; };
  Patience patience(milliseconds(5000));
  if (!patience.until([&](milliseconds slice) { return signals_came_.wait_for(lock, slice, seen); }))
    fmt::print(stderr, "omig-host: {}: a signal sent before a reply has not come\n", guest.home_pid);
}

// mutex_ held. Returns the thread whose call must end for it, if any.
std::shared_ptr<GuestThread> Visit::queue_process(Guest& guest, const siginfo_t& info) {
  const int signal = info.si_signo;
  if (signal <= 0 || signal > 64 || guest.ending) return nullptr;
  busy_until_ = SteadyClock::now() + std::chrono::milliseconds(100);
  std::shared_ptr<GuestThread> target;
  bool blocked_somewhere = false;
  SignalMasks last;
  for (auto& [tid, t] : guest.threads) {
    const auto masks = read_masks(t->status.get());
    if (!masks) continue;
    last = *masks;
    const u64 blocked = blocked_in(*t, masks);
    if (((blocked | masks->blocked) & bit(signal)) != 0 && !only_for_a_moment(masks->blocked)) blocked_somewhere = true;
    if ((blocked & bit(signal)) == 0 && t->in_call && (!target || tid == guest.pid)) target = t;
  }
  if (signal == SIGCONT && !guest.threads.empty()) {
    guest.stop_to_tell = 0;
    guest.homes_stop = false;
  } else if (!blocked_somewhere && unwanted(last, signal)) {  // R10: it must not stop or wake anybody
    return nullptr;
  }
  siginfo_t encoded = info;
  encode_siginfo(&encoded);
  if (syscall(SYS_rt_sigqueueinfo, guest.pid, signal, &encoded) != 0 && errno == EAGAIN) {
    ::kill(guest.pid, signal);  // the queue is full: a plain signal at least, as the kernel itself would do
  }
  return target;
}

void Visit::deliver_thread(GuestThread& t, siginfo_t info) {
  const int signal = info.si_signo;
  if (signal <= 0 || signal > 64) return;
  siginfo_t encoded = info;
  encode_siginfo(&encoded);
  const std::lock_guard lock(mutex_);
  busy_until_ = SteadyClock::now() + std::chrono::milliseconds(100);
  const auto masks = read_masks(t.status.get());
  const u64 blocked = blocked_in(t, masks);
  if (signal == SIGCONT) {
    t.guest->stop_to_tell = 0;
    t.guest->homes_stop = false;
  } else if (masks && ((blocked | masks->blocked) & bit(signal)) == 0 && unwanted(*masks, signal)) {
    return;  // R10
  }
  syscall(SYS_rt_tgsigqueueinfo, t.guest->pid, t.tid, signal, &encoded);
  if (t.in_call && (blocked & bit(signal)) == 0) kick(t);
}

std::shared_ptr<GuestThread> Visit::thread_in_slot(const Guest& guest, u32 slot) {
  const std::lock_guard lock(mutex_);
  for (const auto& [tid, t] : guest.threads)
    if (t->slot == slot) return t;
  return nullptr;
}

// homed has seen signals that are pending at home for one thread alone. One that is blocked in the call the thread sits
// in can wait for the call's end: fetching it would cut the call.
void Visit::fetch_directed(Guest& guest, i32 home_tid, u64 pending) {
  const std::lock_guard lock(mutex_);
  // Before we serve, what waits there may be the original of what came with the image (take_pending_from_home).
  if (!serving_ || guest.freezing || guest.ending) return;
  for (const auto& [tid, t] : guest.threads) {
    if (t->home_tid != home_tid || (t->in_call && !t->abortable)) continue;
    wire::TakeDirected order;
    order.slot = t->slot;
    order.mask = pending & ~(t->in_call ? blocked_in(*t, read_masks(t->status.get())) : 0);
    if (order.mask != 0) ear_frame(guest, wire::Type::take_directed, 0, &order, sizeof order);
  }
}

// Somebody at home, perhaps the guest itself, has changed how its deputy's thread is scheduled.
void Visit::schedule(Guest& guest, i32 home_tid, const Scheduling& as_at_home) {
  const std::lock_guard lock(mutex_);
  if (guest.ending) return;
  for (const auto& [tid, t] : guest.threads)
    if (t->home_tid == home_tid) schedule_as(tid, as_at_home);
}

// R4: a thread in a received call cannot see its own pending signals. Often while signals are about, seldom otherwise.
void Visit::scan() {
  last_scan_ = SteadyClock::now();
  const std::lock_guard lock(mutex_);
  for (auto& [tid, t] : threads_) {
    if (!t->in_call || !t->abortable || t->aborting || last_scan_ - t->call_since < std::chrono::milliseconds(1))
      continue;
    const auto masks = read_masks(t->status.get());
    const u64 blocked = blocked_in(*t, masks);
    if (masks && ((masks->pending | masks->shared_pending) & ~blocked) != 0) kick(*t);
  }
}

// R6: the deputy gave the call up. The guard (PTRACE_INTERRUPT first) makes sure that the kernel looks at it again even
// if the signal has meanwhile been taken by another thread.
void Visit::interrupted(std::shared_ptr<GuestThread> t, u64 notification, bool eintr_ok) {
  post([this, t, notification, eintr_ok] {
    t->eintr_ok = eintr_ok && !t->guest->freezing;
    ptrace(PTRACE_INTERRUPT, t->tid, 0, 0);
    {
      const std::lock_guard lock(mutex_);
      t->in_call = false;
      t->aborting = false;
    }
    seccomp_notif_resp response{};
    response.id = notification;
    response.error = -512;
    ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
  });
}

// Its registers are about to issue again a call that a move cut short: the signal finds it in that call. What becomes
// of it the kernel decides as for its own calls, by the code of an interrupted one. False: it is not so.
bool Visit::end_cut_short(GuestThread& t, int signal, user_regs_struct regs) {
  if (t.cut.how == wire::CutShort::no || static_cast<long>(regs.orig_rax) >= 0 || regs.rip != t.reissue_rip)
    return false;
  regs.orig_rax = regs.rax;
  regs.rax = static_cast<u64>(t.cut.how == wire::CutShort::restart ? -512L : -514L);
  regs.rip += 2;
  if (end_cut_write(t, signal, &regs)) return true;
  const bool caught = catches(t, signal);
  const u64 rest_at = regs.orig_rax == SYS_nanosleep ? regs.rsi : regs.orig_rax == SYS_clock_nanosleep ? regs.r10 : 0;
  if (caught && rest_at != 0 && t.sleep_deadline_ns != 0) {
    const timespec rest = time_left(t.sleep_deadline_ns);
    write_memory(t.tid, rest_at, &rest, sizeof rest);
  }
  if (caught) t.cut = {};
  return set_registers(t.tid, regs);
}

// A write that has begun ends with its count before a handler runs, whatever the handler's flags.
bool Visit::end_cut_write(GuestThread& t, int signal, user_regs_struct* regs) {
  if (t.cut.done_bytes == 0 || !catches(t, signal)) return false;
  regs->rax = std::exchange(t.cut, CutCall{}).done_bytes;
  regs->orig_rax = ~0ull;
  return set_registers(t.tid, *regs);
}

// R7.
void Visit::on_signal_stop(GuestThread& t, int signal) {
  { const std::lock_guard all_queued(mutex_); }
  siginfo_t info{};
  const bool told = ptrace(PTRACE_GETSIGINFO, t.tid, 0, &info) == 0;
  const bool ours = told && is_ours(info);
  if (told && !ours && decode_siginfo(&info)) ptrace(PTRACE_SETSIGINFO, t.tid, 0, &info);
  user_regs_struct regs{};
  if (t.rest_call.active && get_registers(t.tid, &regs)) end_wait_here(t, &regs);
  if ((signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE) && info.si_code > 0 &&
      get_registers(t.tid, &regs)) {
    fmt::print(stderr, "omig-host: {} thread {}: signal {} code {} at {} rip {:x} rsp {:x}\n", t.guest->home_pid,
               t.home_tid, signal, info.si_code, info.si_addr, regs.rip, regs.rsp);
  }
  if (t.suspended_by_us && get_registers(t.tid, &regs)) {
    // The handler runs under the temporary mask; the call itself ends with EINTR, its registers as the program set
    // them.
    t.suspended_by_us = false;
    user_regs_struct back = t.saved_regs;
    back.rax = regs.rax;  // -ERESTARTNOHAND: the kernel makes it EINTR, and restores the old mask
    set_registers(t.tid, back);
    t.temporary_mask.reset();
  } else if (get_registers(t.tid, &regs) && end_cut_short(t, signal, regs)) {
  } else if (static_cast<long>(regs.rax) == -512 && static_cast<long>(regs.orig_rax) >= 0) {
    const u64 args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
    if (syscalls::notified(static_cast<u32>(regs.orig_rax), args)) {
      if (!t.eintr_ok && t.cut.how != wire::CutShort::no) {
        if (t.cut.how == wire::CutShort::eintr) regs.rax = static_cast<u64>(-514L);
        if (!end_cut_write(t, signal, &regs)) set_registers(t.tid, regs);
        if (catches(t, signal)) t.cut = {};
      } else if (!t.eintr_ok) {
        regs.rax = regs.orig_rax;  // as if the signal had come just before the call
        regs.rip -= 2;
        regs.orig_rax = ~0ull;
        set_registers(t.tid, regs);
      } else if (t.restart != syscalls::Restart::restartable && !is_dropped(t, signal)) {
        // A dropped one comes here when another thread, one that is just ending perhaps, blocked it.
        regs.rax = static_cast<u64>(t.restart == syscalls::Restart::always_eintr ? -EINTR : -514L);
        set_registers(t.tid, regs);
      }
    }
  }
  if (std::exchange(t.eintr_ok, false)) t.cut = {};                             // the call is over
  if (t.sleep_deadline_ns != 0 && catches(t, signal)) t.sleep_deadline_ns = 0;  // what it waits for next is new
  if (signal == SIGCONT && ours) {
    resume(t);
    return;
  }
  if (dies_at_home(t, signal)) {
    t.fatal = info;
    t.frozen = true;
    request_home(find_thread(t.tid), 0, fmt::format("signal {} ends it", signal));
    return;
  }
  if (signal == SIGSTOP) note_stop(*t.guest, ours ? 0 : SIGSTOP);
  signal = stop_instead(t, signal);
  // It takes the signal and stops again, before the handler's first instruction; this stop has used up the freeze's.
  if (t.guest->freezing) ptrace(PTRACE_INTERRUPT, t.tid, 0, 0);
  resume(t, signal);
}

// Where home's limits ask for a core, the process dies at home: its kernel writes what it would have written natively.
// So does one whose shared mappings of files must reach the files.
bool Visit::dies_at_home(const GuestThread& t, int signal) {
  constexpr u64 kSurvived = kIgnoredByDefault | bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);
  if (t.guest->dies_here || (kSurvived & bit(signal)) != 0) return false;
  if ((wire::kDumpingSignals & bit(signal)) == 0 || !t.guest->header.account.wants_core()) {
    const std::lock_guard lock(t.guest->files_mutex);
    if (!has_file_segment(*t.guest)) return false;
  }
  return acts_by_default(t, signal);  // last: it reads /proc, and storms of signals come through here
}

// A guest's process group is always orphaned here, and the kernel does not stop such a group by a terminal's signals.
// Whether they stop the process is for home's kernel to say: here they become a SIGSTOP.
int Visit::stop_instead(GuestThread& t, int signal) {
  if (signal != SIGTSTP && signal != SIGTTIN && signal != SIGTTOU) return signal;
  if (!acts_by_default(t, signal)) return signal;
  note_stop(*t.guest, signal);
  return SIGSTOP;
}

// A stop signal is being delivered to the guest; `to_tell` is what home's process must stop by (0: it has stopped).
void Visit::note_stop(Guest& guest, int to_tell) {
  const std::lock_guard lock(mutex_);
  guest.stop_to_tell = to_tell;
  if (to_tell != 0) guest.homes_stop = false;
}

// The guest's kernel has stopped the process by a signal's default action: home's process stops the same way, so that
// its shell sees it; LISTEN keeps the guest stopped until SIGCONT. Every thread reports the stop, maybe long after a
// SIGCONT: the first to do so after the signal's delivery tells home.
void Visit::on_group_stop(GuestThread& t) {
  t.group_stopped = true;
  ptrace(PTRACE_LISTEN, t.tid, 0, 0);
  u64 number = 0, seq = 0;
  {
    const std::lock_guard lock(mutex_);
    number = static_cast<u64>(std::exchange(t.guest->stop_to_tell, 0));
    if (number == 0) return;
    seq = t.guest->stop_seq = ++t.guest->ear_seq;
  }
  ear_frame(*t.guest, wire::Type::stop, seq, &number, sizeof number);
}

// homed has seen that the process at home is stopped (or, after it said so, that it is not so any more).
void Visit::follow_home(Guest& guest, bool stop) {
  const std::lock_guard lock(mutex_);
  if (!stop) {
    if (std::exchange(guest.homes_stop, false)) let_continue(guest);
    return;
  }
  guest.homes_stop = true;
  const siginfo_t info = our_siginfo(SIGSTOP);
  syscall(SYS_rt_sigqueueinfo, guest.pid, SIGSTOP, &info);
}

// mutex_ held. Sent to one thread: so it can neither take the place of a SIGCONT of the program's, nor be swallowed by
// one.
void Visit::let_continue(Guest& guest) {
  guest.stop_to_tell = 0;
  if (guest.threads.empty()) return;
  const siginfo_t info = our_siginfo(SIGCONT);
  syscall(SYS_rt_tgsigqueueinfo, guest.pid, guest.threads.begin()->first, SIGCONT, &info);
}

}  // namespace omig::host
