// SPDX-License-Identifier: Apache-2.0
// The tracer thread: everything that only the thread that attached may do (ptrace), and the event loop around it.
//
// A stop is one of: event stop (a guard after an interrupted call, a freeze, a group stop, a new thread's first), a
// seccomp stop (fork and clone: the child's number must be arranged before the kernel makes it), a birth event, or a
// signal about to be delivered (signals.cpp). A stop is continued at once, unless its guest is being frozen: then it is
// the freeze.
#include <errno.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "homed/host/proc.h"
#include "homed/host/visit.h"
#include "lib/abi/seccomp.h"

namespace omig::host {
namespace {

// For deputies to read their last frames after the last guest's end, where the network lets them.
constexpr std::chrono::seconds kFarewellLimit{10};

// A birth's call has arguments of ours; the program must find its own.
void give_back_arguments(user_regs_struct* regs, const std::array<u64, 6>& args) {
  regs->rdi = args[0];
  regs->rsi = args[1];
  regs->rdx = args[2];
  regs->r10 = args[3];
  regs->r8 = args[4];
}

bool is_stop_signal(int signal) {
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

}  // namespace

Visit::Visit(VisitOptions options, Cell cell, const EngineHead& head)
    : options_(std::move(options)),
      cell_(std::move(cell)),
      head_(head),
      tracer_id_(std::this_thread::get_id()),
      door_(options_.address, options_.token,
            [this](SealedLink link, std::string first) { commander(std::move(link), std::move(first)); }) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  sigchld_ = Fd(signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC));
  wakeup_ = Fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

void Visit::post(std::function<void()> work) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  const u64 one = 1;
  if (write(wakeup_.get(), &one, sizeof one) < 0) return;  // full counter: it is awake anyway
}

void Visit::on_tracer(const std::function<void()>& work) {
  if (std::this_thread::get_id() == tracer_id_) {
    work();
    return;
  }
  std::promise<void> done;
  post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

std::shared_ptr<GuestThread> Visit::find_thread(pid_t tid) {
  const std::lock_guard lock(mutex_);
  const auto it = threads_.find(tid);
  return it == threads_.end() ? nullptr : it->second;
}

std::vector<std::shared_ptr<GuestThread>> Visit::threads_of(const Guest& guest) {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<GuestThread>> threads;
  for (const auto& [tid, t] : guest.threads) threads.push_back(t);
  return threads;
}

std::shared_ptr<Guest> Visit::find_guest(i32 home_pid) {
  const std::lock_guard lock(mutex_);
  const auto it = guests_.find(home_pid);
  return it == guests_.end() ? nullptr : it->second;
}

void Visit::adopt(const image::Image& image, const std::map<i32, pid_t>& tids, Fd listener, std::vector<Arrival> links,
                  Arrival ear, const std::vector<std::optional<FileId>>& file_ids, Segments segments) {
  auto guest = std::make_shared<Guest>(options_.state_dir);
  guest->home_pid = image.header.pid;
  guest->pid = cell_.guest;
  guest->header = image.header;
  guest->home_vmas = image.home_vmas;
  guest->ear_excluded = image.header.ear_excluded;
  guest->pins = image.pins;
  for (const image::Pin& p : guest->pins)
    if (p.aside()) guest->next_pin = std::max(guest->next_pin, p.address + p.bytes);
  for (size_t i = 0; i < image.files.size(); ++i) guest->files.adopt(image.files[i], file_ids[i]);
  guest->segments = std::move(segments);
  guest->segment_fds.insert(image.segment_fds.begin(), image.segment_fds.end());
  guest->ear_tid = ear.hello.tid;
  guest->guard_first = ear.hello.guard_first;
  guest->guard_last = ear.hello.guard_last;
  guest->ear = std::move(ear.link);
  guest->ear.persist();
  guest->stages = (links.front().thread.able & wire::kAbleToStage) != 0;
  guest->home_uid = options_.home_uid;
  guest->job = options_.job;
  guest->command = image.threads.front().name;
  for (size_t i = 0; i < links.size(); ++i) {
    auto t = std::make_shared<GuestThread>();
    t->home_tid = image.threads[i].tid;
    t->tid = tids.at(t->home_tid);
    t->guest = guest;
    t->slot = links[i].hello.slot;
    t->seq = first_seq();
    t->link = std::move(links[i].link);
    t->link.persist();
    t->status = Fd(open_status(guest->pid, t->tid));
    t->restart_at_home = image.threads[i].restart_at_home != 0;
    t->cut = {image.threads[i].cut_short, image.threads[i].done_bytes};
    if (t->cut.how != wire::CutShort::no) t->reissue_rip = image.threads[i].regs.rip;
    if (image.threads[i].sleep_deadline_ns != 0) {
      t->sleep_deadline_ns = image.threads[i].sleep_deadline_ns - static_cast<u64>(options_.monotonic_offset_ns);
      const user_regs_struct& r = image.threads[i].regs;
      t->sleep_call = {r.rax, r.rdi, r.rsi, r.rdx};
    }
    t->stopped = true;
    t->cpu.start(image.threads[i].shown, image.threads[i].unrecorded, thread_cpu(guest->pid, t->tid));
    guest->threads[t->tid] = t;
  }
  const image::Account& account = guest->header.account;
  guest->cpu.start(account.shown, account.unrecorded, process_cpu(guest->pid));
  apply_limits(guest->pid, account, account.shown);
  {
    const std::lock_guard lock(mutex_);  // the door is open: homed may ask already who is here
    for (const auto& [tid, t] : guest->threads) threads_[tid] = t;
    guests_[guest->home_pid] = guest;
  }
  listener_ = std::move(listener);
  // The worker hands over to the tracer and back: keep both on one CPU when the kernel can (Linux 6.6).
  ioctl(listener_.get(), abi::kNotifSetFlags, abi::kNotifSyncWakeUp);
  for (const image::Pending& pending : image.pending) {
    siginfo_t info;
    memcpy(&info, pending.siginfo, sizeof info);
    encode_siginfo(&info);
    const pid_t tid = tids.contains(pending.tid) ? tids.at(pending.tid) : guest->pid;
    if (pending.tid == 0) {
      syscall(SYS_rt_sigqueueinfo, guest->pid, info.si_signo, &info);
    } else {
      syscall(SYS_rt_tgsigqueueinfo, guest->pid, tid, info.si_signo, &info);
    }
  }
  // From now on somebody notices if the deputy ends, also for who waits for a thread's answer before the guest runs.
  start_ear(guest);
}

void Visit::run() {
  {
    const std::lock_guard lock(mutex_);
    serving_ = true;
  }
  for (int i = 0; i < 2; ++i) start_worker();
  std::shared_ptr<Guest> first = guests_.begin()->second;
  protect(*first);
  // A former host has silenced the ear for the move; a signalfd at home keeps its signals.
  ear_frame(*first, wire::Type::exclude, ++first->ear_seq, &first->ear_excluded, sizeof first->ear_excluded);
  for (auto& [tid, t] : first->threads)
    if (!resume_wait_here(*t)) resume(*t);
  const auto over = [this] {
    const std::lock_guard lock(mutex_);
    return guests_.empty();
  };
  while (!over()) pump(-1);
  // One that is cut off comes back, and must find here that its program has ended, and how.
  const auto deadline = SteadyClock::now() + std::max(kFarewellLimit, first->ear.longest_absence());
  while ((ears_ > 0 || orders_ > 0) && SteadyClock::now() < deadline) {
    see_off();
    pump(5);
  }
}

void Visit::pump(int timeout_ms) {
  pollfd waits[2] = {{sigchld_.get(), POLLIN, 0}, {wakeup_.get(), POLLIN, 0}};
  const auto now = SteadyClock::now();
  const bool busy = [&] {
    const std::lock_guard lock(mutex_);
    return now < busy_until_;
  }();
  int limit = busy ? 2 : 200;
  if (timeout_ms >= 0) limit = std::min(limit, timeout_ms);
  poll(waits, 2, limit);
  if ((waits[0].revents & POLLIN) != 0) {
    signalfd_siginfo infos[16];
    while (read(sigchld_.get(), infos, sizeof infos) > 0) {
    }
  }
  drain_waits();
  u64 count = 0;
  if (read(wakeup_.get(), &count, sizeof count) > 0 || true) {
    for (;;) {
      std::function<void()> work;
      {
        const std::lock_guard lock(posted_mutex_);
        if (posted_.empty()) break;
        work = std::move(posted_.front());
        posted_.pop_front();
      }
      work();
    }
  }
  if (SteadyClock::now() - last_scan_ > std::chrono::milliseconds(2)) scan();
}

void Visit::drain_waits() {
  for (;;) {
    int status = 0;
    rusage used{};
    const pid_t tid = wait4(-1, &status, __WALL | WNOHANG, &used);
    if (tid <= 0) return;
    if (WIFSTOPPED(status)) {
      on_stop(tid, status);
    } else {
      on_death(tid, status, {to_ns(used.ru_utime), to_ns(used.ru_stime)});
    }
  }
}

void Visit::resume(GuestThread& t, int signal) {
  t.stopped = false;
  t.frozen = false;
  hand_over();
  ptrace(PTRACE_CONT, t.tid, 0, signal);
}

void Visit::on_stop(pid_t tid, int status) {
  const int event = status >> 16, signal = WSTOPSIG(status);
  const auto t = find_thread(tid);
  if (!t) {
    // A child whose parent's event has not been seen yet: it waits for its name.
    if (unclaimed_stops_.size() < 1024) unclaimed_stops_[tid] = status;
    return;
  }
  t->stopped = true;
  switch (event) {
    case PTRACE_EVENT_STOP: on_event_stop(*t, signal); return;
    case PTRACE_EVENT_SECCOMP: on_seccomp_stop(*t); return;
    case PTRACE_EVENT_CLONE:
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK: on_birth_event(*t, event); return;
    case 0:
      if (signal == (SIGTRAP | 0x80)) {
        on_syscall_exit(*t);
      } else {
        on_signal_stop(*t, signal);
      }
      return;
    default: resume(*t); return;
  }
}

void Visit::on_event_stop(GuestThread& t, int signal) {
  if (is_stop_signal(signal)) {
    on_group_stop(t);
    return;
  }
  t.group_stopped = false;
  if (t.birth) {  // it is about to fork or clone once more: the stop that follows is the freeze
    resume(t);
    return;
  }
  if (t.guest->freezing) {
    t.frozen = true;
    return;
  }
  // The guard after an interrupted ppoll: let the handler run under the call's own mask (SIGNALS.md fact 7).
  if (t.temporary_mask && !t.suspended_by_us) {
    user_regs_struct regs{};
    const auto masks = read_masks(t.status.get());
    if (masks && get_registers(t.tid, &regs) && static_cast<long>(regs.rax) == -512 &&
        ((masks->pending | masks->shared_pending) & ~*t.temporary_mask) != 0) {
      t.saved_regs = regs;
      t.suspended_by_us = true;
      regs.rax = SYS_rt_sigsuspend;
      regs.rdi = t.temporary_mask_address;
      regs.rsi = 8;
      regs.rip -= 2;
      regs.orig_rax = ~0ull;
      set_registers(t.tid, regs);
    }
  }
  resume(t);
}

// Before the kernel forks or clones: a job arranges the child at home and its number here, and then lets the thread go
// on.
void Visit::on_seccomp_stop(GuestThread& t) {
  user_regs_struct call{};
  if (get_registers(t.tid, &call) && call.orig_rax == SYS_rt_sigtimedwait) {
    // It takes signals without any stop; what it reports must be decoded before the program sees it (SIGNALS.md fact
    // 4).
    t.siginfo_at = call.rsi;
    t.stopped = false;
    if (t.guest->freezing) ptrace(PTRACE_INTERRUPT, t.tid, 0, 0);  // this stop has used up the freeze's
    ptrace(PTRACE_SYSCALL, t.tid, 0, 0);
    return;
  }
  user_regs_struct regs{};
  if (!get_registers(t.tid, &regs)) return;
  if (t.birth && regs.orig_rax == SYS_clone && regs.rdi == t.birth->flags) {  // once more, everything is arranged
    resume_birth(t);
    return;
  }
  if (t.birth) drop_birth(t, &regs);  // the code was changed under its feet
  t.in_trace_stop = true;
  const std::array<u64, 6> args{regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
  auto self = find_thread(t.tid);
  std::thread([this, self, nr = regs.orig_rax, args] { birth_job(self, nr, args); }).detach();
}

// A birth shows itself by its event; a call that ends without one has made nobody.
void Visit::resume_birth(GuestThread& t) {
  t.stopped = false;
  t.frozen = false;
  ptrace(PTRACE_SYSCALL, t.tid, 0, 0);
}

// fork or clone has ended without a child. True: it is issued again, for a freeze came just before it: it refuses to
// start then (-ERESTARTNOINTR). Otherwise what was arranged must not be left to the next call: that may be another one,
// which nobody has looked at. Home has a child already; it ends without a word.
bool Visit::end_birth(GuestThread& t) {
  user_regs_struct regs{};
  if (!get_registers(t.tid, &regs)) return false;
  if (static_cast<long>(regs.rax) == -513) {
    regs.rax = regs.orig_rax;
    regs.rip -= 2;
    regs.orig_rax = ~0ull;
    set_registers(t.tid, regs);
    resume(t);
    return true;
  }
  fmt::print(stderr, "omig-host: {}: the kernel refuses a child here: {}\n", t.guest->home_pid,
             strerror(static_cast<int>(-static_cast<long>(regs.rax))));
  drop_birth(t, &regs);
  return false;
}

void Visit::drop_birth(GuestThread& t, user_regs_struct* regs) {
  const std::unique_ptr<GuestThread::Birth> birth = std::move(t.birth);
  set_mask(t.tid, birth->sigmask);
  if (!birth->thread) give_back_arguments(regs, birth->original_args);
  set_registers(t.tid, *regs);
  const u64 status = 0;
  send_frame(birth->link->link, birth->thread ? wire::Type::exit_thread : wire::Type::exit_group, first_seq() + 1,
             &status, sizeof status);
  birth->born->set_value(false);
}

void Visit::on_syscall_exit(GuestThread& t) {
  user_regs_struct regs{};
  if (t.birth && end_birth(t)) return;
  if (t.rest_call.active) {
    if (at_entry_of_call(t.tid)) {
      if (t.guest->freezing) ptrace(PTRACE_INTERRUPT, t.tid, 0, 0);  // this stop has used up the freeze's
      t.stopped = false;
      ptrace(PTRACE_SYSCALL, t.tid, 0, 0);
      return;
    }
    if (get_registers(t.tid, &regs)) end_wait_here(t, &regs);
  }
  siginfo_t info{};
  const u64 at = std::exchange(t.siginfo_at, 0);
  if (at != 0 && get_registers(t.tid, &regs) && static_cast<long>(regs.rax) > 0 &&
      read_memory(t.tid, at, &info, sizeof info) && decode_siginfo(&info)) {
    write_memory(t.tid, at, &info, sizeof info);
  }
  if (t.guest->freezing) {  // any stop uses up a pending interrupt, so this one is the freeze
    t.frozen = true;
    return;
  }
  resume(t);
}

void Visit::on_birth_event(GuestThread& parent, int event) {
  unsigned long child = 0;
  ptrace(PTRACE_GETEVENTMSG, parent.tid, 0, &child);
  if (parent.birth) {
    parent.birth->vfork = event == PTRACE_EVENT_VFORK;
    bind_child(parent, static_cast<pid_t>(child));
  } else {
    fmt::print(stderr, "omig-host: {} made a child that nobody arranged; it is ended\n", parent.guest->home_pid);
    kill(static_cast<pid_t>(child), SIGKILL);  // it must not run: home knows nothing of it
  }
  if (parent.guest->freezing) {
    ptrace(PTRACE_INTERRUPT, parent.tid, 0, 0);  // finish the call first; the stop that follows is the freeze
  }
  resume(parent);
}

void Visit::bind_child(GuestThread& parent, pid_t child) {
  const std::unique_ptr<GuestThread::Birth> birth = std::move(parent.birth);
  auto t = std::make_shared<GuestThread>();
  t->tid = child;
  t->home_tid = birth->home_tid;
  t->link = std::move(birth->link->link);
  t->link.persist();
  t->slot = birth->link->hello.slot;
  t->seq = first_seq();
  // Its first stop may have been reported before this event.
  int status = 0;
  if (const auto early = unclaimed_stops_.find(child); early != unclaimed_stops_.end()) {
    unclaimed_stops_.erase(early);
  } else {
    waitpid(child, &status, __WALL);
  }
  user_regs_struct regs{};
  const bool right_number = inner_pid(child) == birth->home_tid;
  // Signals were held off so that nothing came between the child at home and the child here.
  set_mask(parent.tid, birth->sigmask);
  set_mask(child, birth->sigmask);
  // The call's arguments were changed for our purposes; parent and child must find the program's own.
  if (!birth->thread) {
    for (const pid_t tid : {child, parent.tid}) {
      if (!get_registers(tid, &regs)) continue;
      give_back_arguments(&regs, birth->original_args);
      set_registers(tid, regs);
    }
  }
  std::shared_ptr<Guest> newborn;
  {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Guest> guest = parent.guest;
    if (!birth->thread) {
      newborn = std::make_shared<Guest>(options_.state_dir);
      newborn->home_pid = birth->home_tid;
      newborn->pid = child;
      newborn->ear = std::move(birth->ear->link);
      newborn->ear.persist();
      newborn->ear_tid = birth->ear->hello.tid;
      newborn->guard_first = birth->ear->hello.guard_first;
      newborn->guard_last = birth->ear->hello.guard_last;
      newborn->stages = (birth->link->thread.able & wire::kAbleToStage) != 0;
      {
        const std::lock_guard files_lock(parent.guest->files_mutex);
        newborn->files = parent.guest->files;
        newborn->pins = parent.guest->pins;
        newborn->next_pin = parent.guest->next_pin;
      }
      newborn->home_vmas = parent.guest->home_vmas;
      std::erase_if(newborn->home_vmas, [](const image::Vma& v) { return (v.flags & image::kDontFork) != 0; });
      newborn->header = parent.guest->header;
      newborn->header.pid = newborn->home_pid;
      newborn->header.account = account_of_child(parent.guest->header.account, parent.guest->home_pid);
      newborn->command = parent.guest->command;
      newborn->home_uid = parent.guest->home_uid;
      newborn->job = parent.guest->job;
      newborn->home_dirty = parent.guest->home_dirty;
      if (birth->vfork) {
        newborn->vfork_parent = parent.guest->pid;
        ++parent.guest->vfork_children;
      }
      guests_[newborn->home_pid] = newborn;
      guest = newborn;
    }
    t->guest = guest;
    t->status = Fd(open_status(guest->pid, child));
    guest->threads[child] = t;
    threads_[child] = t;
  }
  if (!right_number) {
    fmt::print(stderr, "omig-host: a child of {} got the wrong number; it is ended\n", parent.guest->home_pid);
    kill(child, SIGKILL);
  }
  if (newborn) start_ear(newborn);
  if (birth->born) birth->born->set_value(right_number);
  t->stopped = true;
  if (t->guest->freezing) {
    t->frozen = true;
  } else {
    resume(*t);
  }
}

void Visit::on_death(pid_t tid, int status, const image::CpuTime& used) {
  std::shared_ptr<Guest> over;
  std::shared_ptr<GuestThread> t;
  {
    const std::lock_guard lock(mutex_);
    unclaimed_stops_.erase(tid);
    const auto it = threads_.find(tid);
    if (it == threads_.end()) {
      if (tid == cell_.init) {  // the whole pid namespace is gone
        for (auto& [pid, guest] : guests_) guest->ending = true;
      }
      for (auto& [pid, guest] : guests_) {
        if (guest->pid == tid) over = guest;  // unknown as a thread, but it was a guest: home must hear of it
      }
      if (!over) return;
    } else {
      t = it->second;
      threads_.erase(it);
      Guest* guest = t->guest.get();
      if (guest->pid == tid) {
        over = guests_[guest->home_pid];
      } else {
        // Its link stays: were it closed before the deputy has heard of a common end (exit_group, die), the deputy
        // would take us for dead.
        std::erase_if(guest->ended, [](const auto& each) { return each->link.is_over(); });
        guest->ended.push_back(t);
        guest->threads.erase(tid);
      }
    }
  }
  if (t && t->birth && t->birth->born) t->birth->born->set_value(false);
  if (over) finish_guest(over, status, used);
}

// The whole guest process is gone. If that was its own doing (a fatal signal), home must see the same death.
void Visit::finish_guest(std::shared_ptr<Guest> guest, int status, const image::CpuTime& used) {
  bool tell = false;
  {
    const std::lock_guard lock(mutex_);
    tell = WIFSIGNALED(status) && !guest->ending;
    guest->ending = true;
  }
  if (!tell && !guest->parted) {
    fmt::print(stderr, "omig-host: {} ended here without a word to its home (status {:x})\n", guest->home_pid, status);
  }
  if (tell) {
    const u64 signal = static_cast<u64>(WTERMSIG(status));
    const std::vector<u8> account = close_account(*guest, used);
    if (!account.empty()) ear_frame(*guest, wire::Type::account, 0, account.data(), account.size());
    ear_frame(*guest, wire::Type::die, 0, &signal, sizeof signal);
  }
  {
    const std::lock_guard lock(mutex_);
    for (auto& [tid, t] : guest->threads) threads_.erase(tid);
    if (guest->vfork_parent != 0) {
      for (auto& [pid, other] : guests_) {
        if (other->pid == guest->vfork_parent && other->vfork_children > 0) --other->vfork_children;
      }
    }
    guests_.erase(guest->home_pid);
    guest->over = true;
    std::erase_if(parting_, [](const auto& each) { return each->ear_over; });
    parting_.push_back(guest);
  }
  let_go(*guest);
  cell_.reap_inside();
}

// An ear that was cut off waits for its deputy to come back. But that has ended if it has closed the link on which it
// was told to.
void Visit::see_off() {
  const std::lock_guard lock(mutex_);
  for (const auto& guest : parting_)
    if (guest->last_word && guest->last_word->link.is_over()) guest->ear.end();
}

// The links stay open until the deputy has closed its ends, which is when the ear's loop is over: it must not take
// their end for the death of this node before it has read its last order (exit_group, die).
void Visit::let_go(Guest& guest) {
  std::map<pid_t, std::shared_ptr<GuestThread>> threads;
  std::vector<std::shared_ptr<GuestThread>> ended;
  std::shared_ptr<GuestThread> last_word;
  const std::lock_guard lock(mutex_);
  if (!guest.over || !guest.ear_over) return;
  threads.swap(guest.threads);
  ended.swap(guest.ended);
  last_word.swap(guest.last_word);
}

}  // namespace omig::host
