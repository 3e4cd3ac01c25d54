// SPDX-License-Identifier: Apache-2.0
// Calls of which the host must know more than the shapes of their arguments: they make or end processes, they concern
// both kernels, or they would touch what is ours (the engine's descriptors at home).
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "homed/host/advice.h"
#include "homed/host/proc.h"
#include "homed/host/visit.h"
#include "lib/base/patience.h"

namespace omig::host {
namespace {

constexpr milliseconds kBirthTimeout{20'000};
constexpr milliseconds kBornTimeout{5'000};

}  // namespace

bool Visit::special(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n, const syscalls::Row& row,
                    u64 args[6], WorkerBuffers& buffers) {
  (void)buffers;
  switch (row.nr) {
    case SYS_exit: {
      const u64 status = args[0];
      {
        const std::lock_guard lock(mutex_);
        t->guest->parted = true;
      }
      if (threads_of(*t->guest).size() == 1) close_account(*t);
      // Whoever joins this thread must not find it alive at home: its link ends with it.
      begin_call(*t, false);
      send_frame(t->link, wire::Type::exit_thread, ++t->seq, &status, sizeof status);
      pollfd end{t->link.get(), POLLRDHUP, 0};
      poll(&end, 1, 1000);
      end_call(*t);
      answer_continue(n.id);
      return true;
    }
    case SYS_exit_group: {
      const u64 status = args[0];
      {
        const std::lock_guard lock(mutex_);
        t->guest->ending = t->guest->parted = true;
        t->guest->last_word = t;
      }
      close_account(*t);
      send_frame(t->link, wire::Type::exit_group, ++t->seq, &status, sizeof status);
      kill(t->guest->pid, SIGKILL);
      return true;
    }
    case SYS_execve:
    case SYS_execveat: return special_exec(t, n);
    case SYS_kill:
    case SYS_tkill:
    case SYS_tgkill:
    case SYS_rt_sigqueueinfo:
    case SYS_rt_tgsigqueueinfo: return special_kill(t, n);
    case SYS_mmap: return special_mmap(t, n);
    case SYS_madvise:
      if (changes_mapping(args[2])) {
        const std::lock_guard lock(mutex_);
        t->guest->header.advised = 1;
      }
      answer_continue(n.id);
      return true;
    case SYS_msync: answer_continue(n.id); return true;  // of a file that home has: see needs_segments_home
    case SYS_rt_sigaction: return special_sigaction(t, n);
    case SYS_prctl: return special_prctl(t, n);
    case SYS_arch_prctl: return special_arch_prctl(t, n);
    case SYS_close_range: return special_close_range(t, n);
    case SYS_open:
    case SYS_openat: return special_open(t, n);
    case SYS_clock_gettime: return special_cpu_clock(t, n);
    case SYS_restart_syscall:
      // After a local wait the kernel restarts it by itself; a sleep that began at home is finished by the deputy.
      if (t->restart_at_home) return false;
      answer_continue(n.id);
      return true;
    default: return false;
  }
}

bool Visit::special_exec(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  const bool at = n.data.nr == SYS_execveat;
  const u64 path_at = at ? n.data.args[1] : n.data.args[0], argv_at = at ? n.data.args[2] : n.data.args[1],
            envp_at = at ? n.data.args[3] : n.data.args[2];
  GuestMemory memory(t->guest->pid);
  wire::Exec exec;
  const auto masks = read_masks(t->status.get());
  if (!masks) return true;
  if ((masks->pending | masks->shared_pending) != 0) {  // they survive an exec, so they must be at home by then
    request_home(t, n.id, "executes a program while signals are pending");
    return true;
  }
  exec.sigmask = masks->blocked;
  exec.ignored = masks->ignored;
  exec.handled = masks->caught;
  exec.is_at = at ? 1 : 0;
  exec.dirfd = at ? static_cast<i32>(n.data.args[0]) : AT_FDCWD;
  exec.at_flags = at ? static_cast<u32>(n.data.args[4]) : 0;
  exec.argv_null = argv_at == 0 ? 1 : 0;
  std::string strings, one;
  if (const long error = memory.read_string(GuestAddr{path_at}, &one, 4096); error != 0) {
    answer(n.id, error);
    return true;
  }
  strings.append(one).push_back('\0');
  constexpr size_t kMaxStrings = 6u << 20;  // the kernel's own limit is a quarter of the stack
  for (const auto& [list, count] : {std::pair{argv_at, &exec.argc}, std::pair{envp_at, &exec.envc}}) {
    for (u64 p = list; p != 0; p += 8) {
      u64 pointer = 0;
      if (!memory.read(GuestAddr{p}, &pointer, sizeof pointer)) {
        answer(n.id, -EFAULT);
        return true;
      }
      if (pointer == 0) break;
      const long error = memory.read_string(GuestAddr{pointer}, &one, 128 * 1024);
      if (error != 0 || strings.size() + one.size() > kMaxStrings) {
        answer(n.id, error == -EFAULT ? -EFAULT : -E2BIG);
        return true;
      }
      strings.append(one).push_back('\0');
      ++*count;
    }
  }
  std::vector<u8> body(sizeof exec + strings.size());
  memcpy(body.data(), &exec, sizeof exec);
  memcpy(body.data() + sizeof exec, strings.data(), strings.size());
  close_account(*t);
  begin_call(*t, false);
  wire::Reply reply;
  std::vector<u8> output;
  if (!send_frame(t->link, wire::Type::exec, t->call_seq, body.data(), body.size()) ||
      !receive_reply(t->link, t->call_seq, &reply, &output)) {
    deputy_gone(*t->guest);  // it is the new program now: success
    return true;
  }
  end_call(*t);
  answer(n.id, reply.ret);
  return true;
}

// The first thread can be sent to as long as the process lives.
bool Visit::lives(const Guest& guest, i32 home_tid) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::ranges::find_if(guest.threads, [&](const auto& item) { return item.second->home_tid == home_tid; });
  return home_tid == guest.home_pid || (found != guest.threads.end() && !has_ended(guest.pid, found->first));
}

// Signals to oneself stay here, so that they are there before the call returns (raise, abort, pthread_kill).
bool Visit::special_kill(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  const Guest& guest = *t->guest;
  const u64* args = reinterpret_cast<const u64*>(n.data.args);
  const bool by_thread = n.data.nr == SYS_tgkill || n.data.nr == SYS_rt_tgsigqueueinfo;
  const bool queued = n.data.nr == SYS_rt_sigqueueinfo || n.data.nr == SYS_rt_tgsigqueueinfo;
  const bool to_thread = by_thread || n.data.nr == SYS_tkill;
  const i32 target = static_cast<i32>(by_thread ? args[1] : args[0]);
  const int signal = static_cast<i32>(by_thread ? args[2] : args[1]);
  if (by_thread && static_cast<i32>(args[0]) != guest.home_pid) return false;
  // Whoever has joined a thread finds it gone, though its deputy may live for a moment.
  if (by_thread && signal >= 0 && signal <= 64 && !lives(guest, target)) {
    answer(n.id, -ESRCH);
    return true;
  }
  if (signal <= 0 || signal > 64 || signal == SIGKILL) return false;
  std::shared_ptr<GuestThread> receiver;
  {
    const std::lock_guard lock(mutex_);
    if ((guest.ear_excluded & (1ull << (signal - 1))) != 0) return false;  // a signalfd at home waits for it
    for (const auto& [tid, other] : guest.threads) {
      if (other->home_tid == target && to_thread) receiver = other;
    }
  }
  if (to_thread ? receiver == nullptr : target != guest.home_pid) return false;
  siginfo_t info{};
  if (queued) {
    GuestMemory memory(guest.pid);
    if (!memory.read(GuestAddr{by_thread ? args[3] : args[2]}, &info, sizeof info)) {
      answer(n.id, -EFAULT);
      return true;
    }
  } else {
    info.si_code = to_thread ? SI_TKILL : SI_USER;
    info.si_pid = guest.home_pid;
    info.si_uid = guest.home_uid;
  }
  info.si_signo = signal;
  if (to_thread) {
    deliver_thread(*receiver, info);
  } else {
    deliver_process(*t->guest, {info});
  }
  answer(n.id, 0);
  return true;
}

// A private mapping of a home file: its bytes are fetched into a memfd that takes the descriptor's place for the moment
// of the call, so that the guest's own kernel maps it with all its flags (KERNEL.md 1, ADDFD).
bool Visit::special_mmap(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  const u64 length = n.data.args[1], prot = n.data.args[2], flags = n.data.args[3], offset = n.data.args[5];
  const int fd = static_cast<i32>(n.data.args[4]);
  const bool is_private = (flags & MAP_TYPE) == MAP_PRIVATE;
  if ((flags & MAP_ANONYMOUS) != 0 || (!is_private && (prot & PROT_WRITE) != 0)) {
    request_home(t, n.id, "needs shared memory");
    return true;
  }
  struct stat st {};
  const wire::Reloc stat_reloc{1, 0};
  const wire::Out stat_out{0, sizeof st, 0, 0, ~0u};
  std::vector<u8> output;
  begin_call(*t, false);
  const long stat_result =
      home_call(*t, SYS_fstat, {static_cast<u64>(fd), 0}, {}, {&stat_reloc, 1}, {&stat_out, 1}, &output);
  if (stat_result < 0) {
    end_call(*t);
    answer(n.id, stat_result);
    return true;
  }
  memcpy(&st, output.data(), sizeof st);
  const long mode = is_private ? O_RDONLY : home_call(*t, SYS_fcntl, {static_cast<u64>(fd), F_GETFL});
  if (!S_ISREG(st.st_mode) || (!is_private && (mode < 0 || (mode & O_ACCMODE) != O_RDONLY))) {
    end_call(*t);
    request_home(t, n.id, "needs a shared or device mapping");
    return true;
  }
  const u64 size = static_cast<u64>(st.st_size);
  const Fd file = empty_copy(size);
  bool ok = file.valid();
  const u64 end = std::min(size, offset + page_up(length));
  for (u64 at = offset; ok && at < end;) {
    const u32 want = static_cast<u32>(std::min<u64>(end - at, 1u << 20));
    const wire::Reloc reloc{1, 0};
    const wire::Out out{0, want, 1, 0, ~0u};
    const long got =
        home_call(*t, SYS_pread64, {static_cast<u64>(fd), 0, want, at}, {}, {&reloc, 1}, {&out, 1}, &output);
    if (got <= 0) {
      if (got == -EBADF) {  // open for writing only: natively EACCES
        end_call(*t);
        answer(n.id, -EACCES);
        return true;
      }
      break;
    }
    ok = pwrite(file.get(), output.data(), static_cast<size_t>(got), static_cast<off_t>(at)) == got;
    at += static_cast<u64>(got);
  }
  if (ok) pin_file(*t, n, st, file.get());
  end_call(*t);
  seccomp_notif_addfd add{};
  add.id = n.id;
  add.srcfd = static_cast<u32>(file.get());
  add.newfd = static_cast<u32>(fd);
  add.flags = SECCOMP_ADDFD_FLAG_SETFD;
  if (!ok || ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) {
    request_home(t, n.id, "cannot map a file there");
    return true;
  }
  answer_continue(n.id);
  return true;
}

// Home maps the same bytes of the file aside (image.h, Pin). Without that it is private memory after the return.
void Visit::pin_file(GuestThread& t, const seccomp_notif& n, const struct stat& home_file, int copy) {
  constexpr size_t kMostPins = 4096;
  Guest& guest = *t.guest;
  const u64 bytes = page_up(n.data.args[1]), type = n.data.args[3] & MAP_TYPE;
  const int fd = static_cast<i32>(n.data.args[4]);
  struct stat st {};
  if (fstat(copy, &st) != 0 || bytes == 0 || bytes > kPinsBytes) return;
  image::File file;
  file.path = read_home_link(t, fd);
  file.size_bytes = static_cast<u64>(home_file.st_size);
  u64 at = 0;
  {
    const std::lock_guard lock(guest.files_mutex);
    if (guest.pins.size() >= kMostPins || guest.next_pin + bytes > kPinsAddress + kPinsBytes) return;
    at = guest.next_pin;
    guest.next_pin += bytes;
  }
  const long mapped =
      home_call(t, SYS_mmap, {at, bytes, PROT_NONE, type | MAP_FIXED_NOREPLACE, static_cast<u64>(fd), n.data.args[5]});
  if (mapped != static_cast<long>(at)) return;
  const std::lock_guard lock(guest.files_mutex);
  const i32 index = guest.files.adopt(file, FileId{st.st_dev, st.st_ino});
  guest.pins.push_back({at, bytes, n.data.args[5], index});
}

// SIGCHLD's action decides at home whether children become zombies; the handler itself runs here.
bool Visit::special_sigaction(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  wire::KernelSigaction action;
  GuestMemory memory(t->guest->pid);
  if (n.data.args[1] == 0 || !memory.read(GuestAddr{n.data.args[1]}, &action, sizeof action)) {
    answer_continue(n.id);  // the kernel says what is wrong with it
    return true;
  }
  constexpr u64 kIgnore = 1;
  wire::KernelSigaction at_home;
  at_home.handler = action.handler == kIgnore ? kIgnore : 0;
  at_home.flags = action.flags & (SA_NOCLDSTOP | SA_NOCLDWAIT);
  const wire::Reloc reloc{1, 0};
  begin_call(*t, false);
  home_call(*t, SYS_rt_sigaction, {SIGCHLD, 0, 0, 8}, {reinterpret_cast<const u8*>(&at_home), sizeof at_home},
            {&reloc, 1});
  end_call(*t);
  answer_continue(n.id);
  return true;
}

// The permission is the process', at home as here, and tiles are not carried: from then on it stays at home.
bool Visit::special_arch_prctl(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  constexpr u64 kRequestXcompPerm = 0x1023;
  if (n.data.args[0] == kRequestXcompPerm)
    request_home(t, n.id, "needs arch_prctl");
  else
    answer_continue(n.id);
  return true;
}

bool Visit::special_prctl(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  constexpr u64 kSetVma = 0x53564d41, kGetTidAddress = 40;
  switch (n.data.args[0]) {
    case PR_SET_NAME: {
      char name[16] = {};
      GuestMemory memory(t->guest->pid);
      std::string text;
      if (memory.read_string(GuestAddr{n.data.args[1]}, &text, sizeof name) == -EFAULT) {
        answer(n.id, -EFAULT);
        return true;
      }
      text.copy(name, sizeof name - 1);
      const wire::Reloc reloc{1, 0};
      begin_call(*t, false);
      home_call(*t, SYS_prctl, {PR_SET_NAME, 0}, {reinterpret_cast<const u8*>(name), sizeof name}, {&reloc, 1});
      end_call(*t);
      answer_continue(n.id);
      return true;
    }
    case PR_GET_NAME:
    case PR_SET_THP_DISABLE:
    case PR_GET_THP_DISABLE:
    case PR_GET_TSC:
    case kGetTidAddress:
    case kSetVma: answer_continue(n.id); return true;
    case PR_SET_SECCOMP:
    case PR_SET_MM:
    case PR_SET_TSC:
    case PR_SET_FPEMU:
    case PR_SET_UNALIGN:
    case PR_SET_SYSCALL_USER_DISPATCH: request_home(t, n.id, "needs prctl"); return true;
    default: return false;  // credentials, dumpability, subreaper, death signal, timer slack: the process at home
  }
}

// The engine's descriptors at home are not the program's to close.
bool Visit::special_close_range(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n) {
  const u32 first = static_cast<u32>(n.data.args[0]), last = static_cast<u32>(n.data.args[1]);
  const u32 guard_first = t->guest->guard_first, guard_last = t->guest->guard_last;
  u64 flags = n.data.args[2];
  if ((flags & CLOSE_RANGE_UNSHARE) != 0) {
    // The deputy's ear shares the table, and has to go on doing so. Nobody else does if there is but one thread.
    if (threads_of(*t->guest).size() > 1) {
      request_home(t, n.id, "has threads, and unshares its descriptors");
      return true;
    }
    flags &= ~u64{CLOSE_RANGE_UNSHARE};
  } else if (first > last || last < guard_first || first > guard_last) {
    return false;
  }
  if (first > last) {
    answer(n.id, -EINVAL);
    return true;
  }
  begin_call(*t, false);
  long result = 0;
  if (first < guard_first) result = home_call(*t, SYS_close_range, {first, std::min(last, guard_first - 1), flags});
  if (result == 0 && last > guard_last)
    result = home_call(*t, SYS_close_range, {std::max(first, guard_last + 1), last, flags});
  end_call(*t);
  answer(n.id, result);
  return true;
}

// A signalfd at home reads pending signals there: the ear must leave them.
void Visit::after_signalfd(GuestThread& t, const seccomp_notif& n, i64 result) {
  if (result < 0) return;
  u64 mask = 0;
  GuestMemory memory(t.guest->pid);
  if (!memory.read(GuestAddr{n.data.args[1]}, &mask, sizeof mask)) return;
  {
    const std::lock_guard lock(mutex_);
    t.guest->ear_excluded |= mask;
    mask = t.guest->ear_excluded;
  }
  exclude(*t.guest, mask, milliseconds(5000));
}

// fork, vfork, clone: the child or thread is made at home first; its number there is the number it gets here. Runs on a
// thread of its own while the caller waits in its seccomp stop.
void Visit::birth_job(std::shared_ptr<GuestThread> t, u64 nr, std::array<u64, 6> args) {
  u64 flags = nr == SYS_clone ? args[0] : nr == SYS_vfork ? (CLONE_VFORK | CLONE_VM | SIGCHLD) : SIGCHLD;
  const bool thread = (flags & CLONE_THREAD) != 0;
  constexpr u64 kNeverAway = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                             CLONE_NEWPID | CLONE_NEWNET | CLONE_PIDFD | CLONE_PTRACE;
  const bool shares_oddly = !thread && ((flags & (CLONE_FILES | CLONE_FS | CLONE_SIGHAND)) != 0 ||
                                        ((flags & CLONE_VM) != 0 && (flags & CLONE_VFORK) == 0));
  // Answers the call without executing it.
  const auto refuse = [this, t, nr](long error) {
    fmt::print(stderr, "omig-host: {}: no child by call {} here: {}\n", t->guest->home_pid, nr,
               strerror(static_cast<int>(-error)));
    on_tracer([&] {
      user_regs_struct regs{};
      t->in_trace_stop = false;
      if (!get_registers(t->tid, &regs)) return;
      regs.orig_rax = ~0ull;
      regs.rax = static_cast<u64>(error);
      set_registers(t->tid, regs);
      resume(*t);
    });
  };
  if (thread && (flags & (CLONE_SIGHAND | CLONE_VM)) != (CLONE_SIGHAND | CLONE_VM)) {
    refuse(-EINVAL);  // as the kernel would, before home has made a thread for it
    return;
  }
  // One that vfork makes executes a program, and uses the memory as long as its parent stands still.
  const bool shares_memory = !thread && (flags & CLONE_VFORK) == 0 && !t->guest->segments.empty();
  if ((flags & kNeverAway) != 0 || shares_oddly || shares_memory) {
    // The call is skipped and its registers rewound, then the process goes home and executes it there.
    on_tracer([&] {
      user_regs_struct regs{};
      t->in_trace_stop = false;
      if (!get_registers(t->tid, &regs)) return;
      const u64 number = regs.orig_rax;
      regs.orig_rax = ~0ull;
      regs.rax = number;
      regs.rip -= 2;
      set_registers(t->tid, regs);
      t->frozen = true;  // it does not run again here: the freeze finds it stopped
    });
    request_home(t, 0,
                 shares_memory ? "a child would share its memory" : "needs clone with namespaces or shared tables");
    return;
  }
  begin_call(*t, false);
  wire::Reply reply;
  std::vector<u8> output;
  bool linked = false;
  if (thread) {
    linked = send_frame(t->link, wire::Type::new_thread, t->call_seq) &&
             receive_reply(t->link, t->call_seq, &reply, &output);
  } else {
    const wire::Fork fork{(flags & 0xff) | (flags & CLONE_PARENT)};
    linked = send_frame(t->link, wire::Type::fork, t->call_seq, &fork, sizeof fork) &&
             receive_reply(t->link, t->call_seq, &reply, &output);
  }
  end_call(*t);
  if (!linked) {
    deputy_gone(*t->guest);
    return;
  }
  if (reply.ret < 0) {
    refuse(reply.ret);
    return;
  }
  const i32 number = static_cast<i32>(reply.ret);
  auto birth = std::make_unique<GuestThread::Birth>();
  birth->home_tid = number;
  birth->thread = thread;
  birth->original_args = args;
  birth->link = door_.wait(wire::Role::thread, thread ? t->guest->home_pid : number, number, kBirthTimeout);
  if (!thread) birth->ear = door_.wait(wire::Role::ear, number, 0, kBirthTimeout);
  if (!birth->link || (!thread && !birth->ear)) {
    refuse(-EAGAIN);
    return;
  }
  birth->born = std::make_shared<std::promise<bool>>();
  auto born = birth->born->get_future();
  const std::lock_guard lock(fork_mutex_);
  if (!cell_.choose_next_pid(number)) {
    refuse(-EAGAIN);
    return;
  }
  // Children here belong to INIT and make no SIGCHLD: home's kernel tells of their ends (KERNEL.md 3). fork and vfork
  // become clone.
  on_tracer([&] {
    user_regs_struct regs{};
    t->in_trace_stop = false;
    if (!get_registers(t->tid, &regs)) return;
    regs.rdi = flags & ~u64{CLONE_UNTRACED};  // nobody here runs without its tracer
    if (!thread) {
      regs.rdi = (regs.rdi & ~0xffull) | CLONE_PARENT;
      if (nr != SYS_clone) {
        regs.orig_rax = SYS_clone;
        regs.rsi = regs.rdx = regs.r10 = regs.r8 = 0;
      }
    }
    get_mask(t->tid, &birth->sigmask);
    set_mask(t->tid, ~0ull);
    birth->flags = regs.rdi;
    t->birth = std::move(birth);
    set_registers(t->tid, regs);
    resume_birth(*t);
  });
  Patience patience(kBornTimeout);
  patience.until([&](milliseconds slice) { return born.wait_for(slice) == std::future_status::ready; });
}

}  // namespace omig::host
