// SPDX-License-Identifier: Apache-2.0
#include "homed/host/trace.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "homed/host/proc.h"
#include "lib/base/scheduling.h"
#include "lib/image/sigframe.h"
#include "lib/image/xsave.h"
#include "lib/link/peer.h"

namespace omig::host {
namespace {

constexpr long kNtX86Xstate = 0x202;

long ptrace_raw(long request, pid_t tid, u64 addr, void* data) { return syscall(SYS_ptrace, request, tid, addr, data); }

// Waits for the next stop of exactly this thread. -1: it died (its status is left for nobody: the caller gives up on
// it).
int wait_stop(pid_t tid) {
  for (;;) {
    int status = 0;
    const pid_t got = waitpid(tid, &status, __WALL);
    if (got == tid) return WIFSTOPPED(status) ? status : -1;
    if (got < 0 && errno != EINTR) return -1;
  }
}

}  // namespace

bool get_registers(pid_t tid, user_regs_struct* regs) {
  iovec io{regs, sizeof *regs};
  return ptrace_raw(PTRACE_GETREGSET, tid, NT_PRSTATUS, &io) == 0;
}

bool set_registers(pid_t tid, const user_regs_struct& regs) {
  user_regs_struct copy = regs;
  iovec io{&copy, sizeof copy};
  return ptrace_raw(PTRACE_SETREGSET, tid, NT_PRSTATUS, &io) == 0;
}

bool set_xsave(pid_t tid, const image::Thread& thread) {
  // In the length that the kernel here has: longer or shorter than where it comes from, if the processors differ.
  u8 bytes[image::kXsaveMaxBytes] = {};
  iovec io{bytes, sizeof bytes};
  if (ptrace_raw(PTRACE_GETREGSET, tid, kNtX86Xstate, &io) != 0) return false;
  const u32 needed = image::shape_in_frame(thread.xsave, thread.xsave_bytes).bytes;
  if (needed > io.iov_len) {
    errno = ENOTSUP;
    return false;
  }
  memset(bytes, 0, sizeof bytes);
  memcpy(bytes, thread.xsave, needed);
  return ptrace_raw(PTRACE_SETREGSET, tid, kNtX86Xstate, &io) == 0;
}

bool set_mask(pid_t tid, u64 mask) { return ptrace_raw(PTRACE_SETSIGMASK, tid, 8, &mask) == 0; }
bool get_mask(pid_t tid, u64* mask) { return ptrace_raw(PTRACE_GETSIGMASK, tid, 8, mask) == 0; }

bool capture_thread(pid_t tid, image::Thread* thread) {
  if (!get_registers(tid, &thread->regs)) return false;
  iovec io{thread->xsave, sizeof thread->xsave};
  if (ptrace_raw(PTRACE_GETREGSET, tid, kNtX86Xstate, &io) != 0) return false;
  thread->xsave_bytes = static_cast<u32>(io.iov_len);
  if (!get_mask(tid, &thread->sigmask)) return false;
  __ptrace_rseq_configuration rseq{};
  if (ptrace_raw(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof rseq, &rseq) > 0) {
    thread->rseq = rseq.rseq_abi_pointer;
    thread->rseq_bytes = rseq.rseq_abi_size;
    thread->rseq_signature = rseq.signature;
  }
  void* head = nullptr;
  size_t bytes = 0;
  if (syscall(SYS_get_robust_list, tid, &head, &bytes) == 0) {
    thread->robust_list = reinterpret_cast<u64>(head);
    thread->robust_bytes = bytes;
  }
  const std::string name = read_file(fmt::format("/proc/{}/comm", tid));
  memcpy(thread->name, name.data(), std::min(name.find_last_not_of('\n') + 1, sizeof thread->name - 1));
  const Scheduling scheduling = scheduling_of(tid);
  thread->nice = static_cast<std::int16_t>(scheduling.nice);
  thread->policy = static_cast<u16>(scheduling.policy);
  return true;
}

namespace {

void rewind_call(user_regs_struct* regs) {
  regs->rax = regs->orig_rax;
  regs->rip -= 2;
}

}  // namespace

bool in_engine(const user_regs_struct& regs) { return regs.rip >= kEngineBase && regs.rip < kEngineEnd; }

namespace {

// A futex wait with a time-out, which is what is called most by `syscall(SYS_futex, ...)`.
bool looks_like_futex_wait(pid_t pid, const user_regs_struct& regs) {
  constexpr u64 kWait = 0, kWaitBitset = 9, kFlags = 128 | 256;  // private, real time
  const u64 op = regs.rsi & ~kFlags;
  timespec timeout{};
  return regs.rdi != 0 && regs.rdi % 4 == 0 && (op == kWait || op == kWaitBitset) && regs.r10 != 0 &&
         read_memory(pid, regs.r10, &timeout, sizeof timeout) && timeout.tv_sec >= 0 && timeout.tv_nsec >= 0 &&
         timeout.tv_nsec < 1'000'000'000;
}

// A wait that was interrupted twice shows restart_syscall's number. The real one is in the code, `mov $nr,%eax;
// syscall`, or, where the C library's syscall() has got it as an argument, only its other arguments tell.
u64 real_number(pid_t pid, const user_regs_struct& regs) {
  if (regs.orig_rax != SYS_restart_syscall) return regs.orig_rax;
  u8 code[7];
  u32 number = 0;
  if (read_memory(pid, regs.rip - sizeof code, code, sizeof code) && code[0] == 0xb8) {
    memcpy(&number, code + 1, sizeof number);
    return number;
  }
  return looks_like_futex_wait(pid, regs) ? SYS_futex : SYS_restart_syscall;
}

}  // namespace

void normalise_restart(pid_t pid, image::Thread* thread, bool signal_pending) {
  user_regs_struct& regs = thread->regs;
  const long result = static_cast<long>(regs.rax);
  if (thread->done_bytes == 0) thread->cut_short = wire::CutShort::no;
  if (static_cast<long>(regs.orig_rax) >= 0) {
    if (result == -512) thread->cut_short = wire::CutShort::restart;
    if (result == -514 || result == -516 || (result == -EINTR && !signal_pending))
      thread->cut_short = wire::CutShort::eintr;
    if (result == -512 || result == -513 || result == -514) {
      rewind_call(&regs);
    } else if (result == -516) {
      // The restart block is in this kernel. A sleep can be finished by the thread that stays (the deputy); other calls
      // start again.
      const u64 number = real_number(pid, regs);
      if (number == SYS_nanosleep || number == SYS_clock_nanosleep) {
        thread->restart_at_home = 1;
        regs.rax = SYS_restart_syscall;
        regs.rip -= 2;
      } else {
        regs.orig_rax = number;
        rewind_call(&regs);
      }
    } else if (result == -EINTR && !signal_pending) {
      rewind_call(&regs);  // epoll_wait, sigtimedwait and the like: only the freeze interrupted them
    }
  }
  regs.orig_rax = ~0ull;
}

namespace {

bool is_nonblocking(pid_t pid, u64 fd) {
  const std::string info = read_file(fmt::format("/proc/{}/fdinfo/{}", pid, fd));
  const auto at = info.find("flags:");
  return at == std::string::npos || (strtoull(info.c_str() + at + 6, nullptr, 8) & O_NONBLOCK) != 0;
}

bool is_stream(pid_t pid, u64 fd) {
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const Fd socket(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), static_cast<int>(fd), 0)));
  int type = 0;
  socklen_t length = sizeof type;
  return getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

}  // namespace

bool transfers_all(u64 nr, const u64 args[6]) {
  constexpr u64 kOthers = MSG_PEEK | MSG_DONTWAIT | MSG_OOB | MSG_TRUNC | MSG_ERRQUEUE;
  if (nr == SYS_recvfrom) return (args[3] & (MSG_WAITALL | kOthers)) == MSG_WAITALL;
  return nr == SYS_write || nr == SYS_sendto;
}

void cut_write(pid_t pid, u64 finish_write, image::Thread* thread) {
  user_regs_struct& r = thread->regs;
  const bool resumed = r.rip == finish_write || r.rip == finish_write + 2;
  FinishFrame finish{};
  if (resumed && !read_memory(pid, r.rsp, &finish, sizeof finish)) return;
  const bool in_call = static_cast<long>(r.orig_rax) >= 0;
  const u64 args[6] = {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9};
  const i64 result = static_cast<i64>(r.rax);
  if (in_call && transfers_all(r.orig_rax, args) && result > 0 && static_cast<u64>(result) < r.rdx &&
      !is_nonblocking(pid, r.rdi) && (r.orig_rax != SYS_recvfrom || is_stream(pid, r.rdi))) {
    thread->done_bytes = static_cast<u64>(result);
    r.rax = static_cast<u64>(-512L);
  }
  if (!resumed) return;
  thread->done_bytes += finish.done_bytes;
  r.rsi = finish.rsi;
  r.rdx = finish.rdx;
  r.rsp = finish.rsp;
  r.rip = finish.rip;
  if (!in_call) {  // it has not begun to write the rest
    r.rip -= 2;
    thread->cut_short = wire::CutShort::restart;
  } else if (static_cast<long>(r.rax) != -512) {  // it is done
    r.rax = result > 0 ? thread->done_bytes + static_cast<u64>(result) : thread->done_bytes;
    r.orig_rax = ~0ull;
    thread->done_bytes = 0;
  }
}

bool finish_write_here(pid_t pid, u64 finish_write, const image::Thread& thread, user_regs_struct* here) {
  const user_regs_struct& r = thread.regs;
  const u64 at = finish_frame_at(r.rsp);
  const FinishFrame finish{thread.done_bytes, r.rip + 2, r.rsi, r.rdx, r.rsp};
  if (!write_memory(pid, at, &finish, sizeof finish)) return false;
  *here = r;
  here->rsi += thread.done_bytes;
  here->rdx -= thread.done_bytes;
  here->rsp = at;
  here->rip = finish_write;
  return true;
}

bool prepare_injection(pid_t tid, u64 gadget, long nr, std::span<const u64> args, u64 rsp) {
  user_regs_struct regs{};
  if (!get_registers(tid, &regs)) return false;
  u64 a[6] = {};
  std::copy(args.begin(), args.end(), a);
  regs.rip = gadget;
  regs.rax = static_cast<u64>(nr);
  regs.orig_rax = ~0ull;
  regs.rdi = a[0];
  regs.rsi = a[1];
  regs.rdx = a[2];
  regs.r10 = a[3];
  regs.r8 = a[4];
  regs.r9 = a[5];
  if (rsp != 0) regs.rsp = rsp;
  return set_registers(tid, regs);
}

long run_injection(pid_t tid) {
  for (int syscall_stops = 0; syscall_stops < 2;) {
    if (ptrace(PTRACE_SYSCALL, tid, 0, 0) != 0) return -ESRCH;
    const int status = wait_stop(tid);
    if (status < 0) return -ESRCH;
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) ++syscall_stops;
    // Anything else (a group stop passing by) is passed over: all signals but SIGKILL and SIGSTOP are blocked.
  }
  user_regs_struct regs{};
  if (!get_registers(tid, &regs)) return -ESRCH;
  return static_cast<long>(regs.rax);
}

long inject_syscall(pid_t tid, u64 gadget, long nr, std::span<const u64> args) {
  return prepare_injection(tid, gadget, nr, args, 0) ? run_injection(tid) : -ESRCH;
}

bool run_until_trap(pid_t tid, u64 entry, u64 rdi, u64 rsi, const std::function<void()>& while_running) {
  user_regs_struct regs{};
  if (!get_registers(tid, &regs)) return false;
  regs.rip = entry;
  regs.rdi = rdi;
  regs.rsi = rsi;
  regs.rsp = kWorkStackTop - 64 - 8;
  regs.orig_rax = ~0ull;
  regs.eflags &= ~0x500ull;  // TF and DF
  if (!set_registers(tid, regs)) return false;
  // SIGTRAP stays unblocked: a forced signal that finds itself blocked resets the program's action for it.
  if (!set_mask(tid, ~(1ull << (SIGTRAP - 1)))) return false;
  if (ptrace(PTRACE_CONT, tid, 0, 0) != 0) return false;
  if (while_running) while_running();
  for (;;) {
    const int status = wait_stop(tid);
    if (status < 0) return false;
    if (WSTOPSIG(status) == SIGTRAP && (status >> 16) == 0) return true;
    if (WSTOPSIG(status) == SIGSEGV || WSTOPSIG(status) == SIGBUS || WSTOPSIG(status) == SIGILL) return false;
    if (ptrace(PTRACE_CONT, tid, 0, 0) != 0) return false;
  }
}

long run_batch(pid_t tid, const EngineHead& head, std::span<BatchOp> ops, size_t* failed,
               const std::function<void()>& while_running) {
  size_t done = 0;
  while (done < ops.size()) {
    const size_t count = std::min<size_t>(ops.size() - done, kWorkOpsMax);
    const std::span<BatchOp> part = ops.subspan(done, count);
    for (BatchOp& op : part) op.ret = -ECANCELED;
    if (!write_memory(tid, kWorkOps, part.data(), part.size_bytes())) return -ESRCH;
    if (!run_until_trap(tid, head.batch_entry, kWorkOps, count, while_running)) return -ESRCH;
    if (!read_memory(tid, kWorkOps, part.data(), part.size_bytes())) return -ESRCH;
    for (size_t i = 0; i < part.size(); ++i) {
      const bool error = part[i].ret < 0 && part[i].ret > -4096;
      if (error && part[i].may_fail == 0) {
        if (failed != nullptr) *failed = done + i;
        return part[i].ret;
      }
    }
    done += count;
  }
  return 0;
}

void ignore_sigtrap_again(pid_t tid, const EngineHead& head, const wire::KernelSigaction& action) {
  constexpr u64 kIgnore = 1;
  if (action.handler != kIgnore || !write_memory(tid, kWorkData, &action, sizeof action)) return;
  const u64 args[] = {SIGTRAP, kWorkData, 0, 8};
  set_mask(tid, ~0ull);
  inject_syscall(tid, head.gadget, SYS_rt_sigaction, args);
}

bool read_memory(pid_t pid, u64 from, void* to, u64 bytes) {
  iovec local{to, bytes}, remote{reinterpret_cast<void*>(from), bytes};
  return process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

bool write_memory(pid_t pid, u64 to, const void* from, u64 bytes) {
  iovec local{const_cast<void*>(from), bytes}, remote{reinterpret_cast<void*>(to), bytes};
  return process_vm_writev(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

EngineHead load_engine_head(const std::string& engine_path) {
  const int fd = open(engine_path.c_str(), O_RDONLY | O_CLOEXEC);
  EngineHead head{};
  const bool ok = fd >= 0 && pread(fd, &head, sizeof head, kEngineHeadAddress - kEngineBase) == sizeof head;
  if (fd >= 0) close(fd);
  if (!ok || head.magic != kEngineHeadMagic) {
    throw std::runtime_error(fmt::format("{} is not the omig engine: reinstall omig", engine_path));
  }
  return head;
}

std::vector<image::Pending> peek_pending(pid_t tid, i32 home_tid, bool shared) {
  std::vector<image::Pending> result;
  for (u64 offset = 0;; ++offset) {
    struct {
      u64 offset;
      u32 flags;
      i32 count;
    } args{offset, shared ? 1u : 0u, 1};
    siginfo_t info{};
    if (syscall(SYS_ptrace, PTRACE_PEEKSIGINFO, tid, &args, &info) != 1) return result;
    image::Pending pending;
    pending.tid = shared ? 0 : home_tid;
    memcpy(pending.siginfo, &info, sizeof info);
    result.push_back(pending);
  }
}

std::vector<u8> make_signal_frame(const image::Thread& thread, u64 at) {
  const auto [features, size] = image::shape_in_frame(thread.xsave, thread.xsave_bytes);
  std::vector<u8> bytes(kFrameFpstateOffset + size + 64);
  SignalFrame frame;
  const user_regs_struct& r = thread.regs;
  frame.altstack_sp = thread.altstack_sp;
  frame.altstack_flags = thread.altstack_flags;
  frame.altstack_bytes = thread.altstack_bytes;
  frame.r8 = r.r8, frame.r9 = r.r9, frame.r10 = r.r10, frame.r11 = r.r11;
  frame.r12 = r.r12, frame.r13 = r.r13, frame.r14 = r.r14, frame.r15 = r.r15;
  frame.rdi = r.rdi, frame.rsi = r.rsi, frame.rbp = r.rbp, frame.rbx = r.rbx;
  frame.rdx = r.rdx, frame.rax = r.rax, frame.rcx = r.rcx, frame.rsp = r.rsp;
  frame.rip = r.rip, frame.rflags = r.eflags;
  frame.cs = static_cast<u16>(r.cs);
  frame.ss = static_cast<u16>(r.ss);
  frame.sigmask = thread.sigmask;
  frame.fpstate = at + kFrameFpstateOffset;
  memcpy(bytes.data(), &frame, sizeof frame);
  // The software bytes at 464 of the XSAVE image tell rt_sigreturn its size and features (KERNEL.md 2).
  u8* x = bytes.data() + kFrameFpstateOffset;
  memcpy(x, thread.xsave, size);
  const u32 magic1 = 0x46505853, magic2 = 0x46505845, extended = size + 4;
  memcpy(x + 464, &magic1, 4);
  memcpy(x + 468, &extended, 4);
  memcpy(x + 472, &features, 8);
  memcpy(x + 480, &size, 4);
  memcpy(x + size, &magic2, 4);
  return bytes;
}

}  // namespace omig::host
