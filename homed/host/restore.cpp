// SPDX-License-Identifier: Apache-2.0
#include "homed/host/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "homed/host/advice.h"
#include "homed/host/cell_fds.h"
#include "homed/host/proc.h"
#include "homed/host/usage.h"
#include "lib/abi/userfaultfd.h"
#include "lib/base/scheduling.h"
#include "lib/syscalls/filter.h"

namespace omig::host {
namespace {

// Where the vdso's pages wait until it is known where the program has them: in the slots' range, unused in a guest.
constexpr u64 kAside = kSlotsAddress;
constexpr u64 kMapFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

std::runtime_error failure(const std::string& what) { return std::runtime_error(what); }

image::VmaKind special_kind(const std::string& path) {
  if (path == "[vdso]") return image::VmaKind::vdso;
  if (path == "[vvar]") return image::VmaKind::vvar;
  if (path == "[vvar_vclock]") return image::VmaKind::vvar_vclock;
  return image::VmaKind::anonymous;
}

// libseccomp takes milliseconds to compile it: once, and not while anybody is frozen.
const std::vector<sock_filter>& filter_program() {
  static const std::vector<sock_filter> program = syscalls::build_filter();
  return program;
}

}  // namespace

void Restore::batch(pid_t tid, std::vector<BatchOp>& ops, const char* what,
                    const std::function<void()>& while_running) {
  size_t failed = 0;
  const long result = run_batch(tid, head_, ops, &failed, while_running);
  if (result < 0) {
    throw failure(fmt::format("cannot rebuild it here: {} (syscall {}): {}", what,
                              failed < ops.size() ? ops[failed].nr : -1, strerror(static_cast<int>(-result))));
  }
}

void Restore::prepare() {
  filter_program();
  set_mask(cell_.guest, ~0ull);
  const u64 arguments[] = {kAnchorAddress, kWorkBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                           ~0ull,          0};
  if (const long got = inject_syscall(cell_.guest, head_.gadget, SYS_mmap, arguments);
      got != static_cast<long>(kAnchorAddress)) {
    throw failure(fmt::format("cannot start a guest here: mmap: {}", strerror(static_cast<int>(-got))));
  }
  std::vector<BatchOp> ops;
  u64 spare = kAside;
  for (const MapsLine& line : read_maps(cell_.guest)) {
    const u64 bytes = line.end - line.start;
    if (line.start >= kEngineBase && line.start < kEngineEnd) continue;
    if (line.path == "[vsyscall]") continue;
    if (const auto kind = special_kind(line.path); kind != image::VmaKind::anonymous) {
      ops.push_back(op(SYS_mremap, line.start, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, spare));
      aside_[kind] = spare;
      spare += 0x100000;
      continue;
    }
    ops.push_back(op(SYS_munmap, line.start, bytes));
  }
  batch(cell_.guest, ops, "clearing the room");
  open_write_tracker();
}

// While it may: the filter lets nobody open one.
void Restore::open_write_tracker() {
  std::vector<BatchOp> open = {op(SYS_userfaultfd, O_CLOEXEC | abi::kUffdUserModeOnly, 0, 0, 0, 0, 0, true)};
  batch(cell_.guest, open, "noting writes");
  if (open[0].ret < 0) return;
  const u64 fd = static_cast<u64>(open[0].ret);
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, cell_.guest, 0)));
  write_tracker_ = Fd(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), static_cast<int>(fd), 0)));
  std::vector<BatchOp> close = {op(SYS_close, fd)};
  batch(cell_.guest, close, "noting writes");
}

void Restore::make_ready(std::vector<Preparation> preparations) {
  ready_ = std::move(preparations);
  std::vector<BatchOp> ops;
  for (const Preparation& p : ready_) {
    ops.push_back(op(SYS_mmap, p.start, p.end - p.start, PROT_READ | PROT_WRITE,
                     kMapFlags | reservation_of(p.end - p.start), ~0ull, 0));
    if (p.used_start < p.used_end)
      ops.push_back(op(SYS_madvise, p.start, p.end - p.start, MADV_HUGEPAGE, 0, 0, 0, true));
  }
  batch(cell_.guest, ops, "preparing memory");
}

// Fresh memory is what costs most (KERNEL.md 6). The guest itself takes it, from the end backwards, while we write from
// the beginning: both take pages until they meet.
bool Restore::receive_ahead(Conversation& from) {
  constexpr u64 kPopulateWrite = 23;  // MADV_POPULATE_WRITE, Linux 5.14
  u64 total = 0;
  for (const Preparation& p : ready_) total += p.used_end - p.used_start;
  const u64 step = std::max<u64>(page_up(total / (kWorkOpsMax / 2)), 32 << 20);
  std::vector<BatchOp> ops;
  std::vector<image::Vma> areas;
  for (const Preparation& p : ready_) {
    for (u64 at = p.used_start; at < p.used_end; at += step)
      ops.push_back(op(SYS_madvise, at, std::min(step, p.used_end - at), kPopulateWrite, 0, 0, 0, true));
    areas.push_back({.start = p.start, .end = p.end, .prot = PROT_READ | PROT_WRITE});
  }
  std::reverse(ops.begin(), ops.end());
  bool received = false;
  const auto receive = [&] { received = receive_runs(from, areas, nullptr, nullptr); };
  if (ops.empty()) {
    receive();
  } else {
    batch(cell_.guest, ops, "preparing memory", receive);
  }
  return received;
}

void Restore::place(const image::Image& image, const std::vector<FilePlace>& files) {
  set_limit(cell_.guest, RLIMIT_STACK, {image.header.stack_limit_bytes});
  rlimit descriptors{};
  if (prlimit(cell_.guest, RLIMIT_NOFILE, nullptr, &descriptors) == 0) {
    descriptors.rlim_cur = descriptors.rlim_max;
    prlimit(cell_.guest, RLIMIT_NOFILE, &descriptors, nullptr);
  }
  const rlimit no_core{0, 0};
  prlimit(cell_.guest, RLIMIT_CORE, &no_core, nullptr);

  std::vector<BatchOp> ops;
  const Ranges stays = kept(ready_, image.vmas);
  Ranges leaves = areas_of(ready_);
  leaves -= stays;
  for (const Range& r : leaves) ops.push_back(op(SYS_munmap, r.lower(), r.upper() - r.lower()));
  for (const image::Vma& v : image.vmas) {
    // Nobody could write shipped pages into a shared mapping that is read-only: that one is memory here.
    const bool shared = (v.flags & (image::kSharedReadOnly | image::kSegment)) != 0;
    const FilePlace place = v.kind == image::VmaKind::file ? files[static_cast<size_t>(v.file)] : FilePlace::none;
    if (place == FilePlace::there || place == FilePlace::segment || (place == FilePlace::empty && !shared)) {
      const u64 sharing = shared ? MAP_SHARED : MAP_PRIVATE;
      ops.push_back(op(SYS_mmap, v.start, v.bytes(), v.prot, sharing | MAP_FIXED, static_cast<u64>(kCellFiles + v.file),
                       v.offset));
    } else if (v.kind == image::VmaKind::anonymous || v.kind == image::VmaKind::file) {
      const u64 grows = (v.flags & image::kGrowsDown) != 0 ? MAP_GROWSDOWN : 0;
      Ranges parts;
      parts += Range(v.start, v.end);
      parts -= stays;
      for (const Range& r : parts)
        ops.push_back(op(SYS_mmap, r.lower(), r.upper() - r.lower(), v.prot,
                         kMapFlags | grows | reservation_of(v.bytes()), ~0ull, 0));
      // Has grown since: one mapping as at home, for mremap does not take two.
      const bool huge = std::any_of(ready_.begin(), ready_.end(), [&](const Preparation& p) {
        return p.used_start < p.used_end && p.start < v.end && p.end > v.start;
      });
      if (huge && !parts.empty()) ops.push_back(op(SYS_madvise, v.start, v.bytes(), MADV_HUGEPAGE, 0, 0, 0, true));
    } else {
      const auto from = aside_.find(v.kind);
      if (from == aside_.end()) throw failure("a different kernel runs here (vdso)");
      ops.push_back(op(SYS_mremap, from->second, v.bytes(), v.bytes(), MREMAP_MAYMOVE | MREMAP_FIXED, v.start));
    }
    for (const Advice& a : kAdvices)
      if ((v.flags & a.flag) != 0) ops.push_back(op(SYS_madvise, v.start, v.bytes(), a.on));
  }
  // PR_SET_MM_MAP (struct prctl_mm_map): brk, arguments, environment, auxv.
  struct {
    image::MmMap mm;
    u64 auxv;
    u32 auxv_bytes;
    u32 exe_fd;
  } map{image.header.mm, kWorkData + 0x200, image.header.auxv_bytes, ~0u};
  write_memory(cell_.guest, kWorkData, &map, sizeof map);
  write_memory(cell_.guest, kWorkData + 0x200, image.header.auxv, sizeof image.header.auxv);
  ops.push_back(op(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, kWorkData, sizeof map, 0));
  batch(cell_.guest, ops, "address space");
}

namespace {

// Copies pages into the guest. Writable mappings are written directly, the others through /proc/PID/mem, which may.
class PagePlacer {
 public:
  PagePlacer(pid_t pid, std::span<const image::Vma> vmas) : pid_(pid), vmas_(vmas) {
    mem_ = Fd(open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDWR | O_CLOEXEC));
  }

  bool place(u64 address, const u8* bytes, u64 count) {
    while (count > 0) {
      const auto vma =
          std::upper_bound(vmas_.begin(), vmas_.end(), address, [](u64 a, const image::Vma& v) { return a < v.end; });
      if (vma == vmas_.end() || vma->start > address) return false;  // pages outside of any mapping: nonsense
      const u64 part = std::min(count, vma->end - address);
      const bool direct = (vma->prot & PROT_WRITE) != 0;
      const bool done =
          direct ? write_memory(pid_, address, bytes, part)
                 : pwrite(mem_.get(), bytes, part, static_cast<off_t>(address)) == static_cast<ssize_t>(part);
      if (!done) return false;
      address += part;
      bytes += part;
      count -= part;
    }
    return true;
  }

 private:
  pid_t pid_;
  std::span<const image::Vma> vmas_;
  Fd mem_;
};

}  // namespace

// One warm buffer, filled with whatever has come, headers and pages alike (KERNEL.md 6).
bool Restore::receive_runs(Conversation& from, std::span<const image::Vma> vmas, Ranges* gone, Ranges* guards,
                           const PlaceSegment& place_segment) {
  PagePlacer placer(cell_.guest, vmas);
  std::vector<u8> buffer(256 * 1024);
  image::PageRun run;  // what of it has not come yet
  bool in_segment = false;
  for (size_t have = 0;;) {
    const size_t got = from.read_some(buffer.data() + have, buffer.size() - have);
    if (got == 0) return false;
    have += got;
    size_t at = 0;
    for (;;) {
      if (run.bytes > 0) {
        const size_t part = std::min<size_t>(run.bytes, have - at);
        if (part == 0) break;
        const bool placed = in_segment ? place_segment(run.address, {buffer.data() + at, part})
                                       : placer.place(run.address, buffer.data() + at, part);
        if (!placed) return false;
        run.address += part;
        run.bytes -= part;
        at += part;
        continue;
      }
      if (have - at < sizeof run) break;
      memcpy(&run, buffer.data() + at, sizeof run);
      at += sizeof run;
      if (run.bytes == 0) return at == have;
      const u64 address = run.address & ~(image::kRunGone | image::kRunSegment | image::kRunGuard);
      if ((address | run.bytes) % kPageSize != 0 || run.bytes > (1ull << 47) || address > (1ull << 47)) return false;
      in_segment = (run.address & image::kRunSegment) != 0;
      if (in_segment && !place_segment) return false;
      Ranges* const list = (run.address & image::kRunGone) != 0 ? gone : guards;
      const bool has_bytes = (run.address & (image::kRunGone | image::kRunGuard)) == 0;
      run.address = address;
      if (has_bytes) continue;
      if (list == nullptr) return false;
      *list += Range(address, address + run.bytes);
      run.bytes = 0;
    }
    memmove(buffer.data(), buffer.data() + at, have - at);
    have -= at;
  }
}

bool Restore::receive_pages(Conversation& from, const image::Image& image, const Segments& segments) {
  Ranges gone, guards;
  const PlaceSegment place_segment = [&](u64 address, std::span<const u8> bytes) {
    return place_in_segment(segments, image.home_vmas, address, bytes);
  };
  if (!receive_runs(from, image.vmas, &gone, &guards, place_segment)) return false;
  gone &= kept(ready_, image.vmas);
  std::vector<BatchOp> ops;
  for (const Range& r : gone) ops.push_back(op(SYS_madvise, r.lower(), r.upper() - r.lower(), MADV_DONTNEED));
  for (const Range& r : guards)
    ops.push_back(op(SYS_madvise, r.lower(), r.upper() - r.lower(), kMadvGuardInstall, 0, 0, 0, true));
  batch(cell_.guest, ops, "memory");
  return true;
}

std::map<i32, pid_t> Restore::make_threads(const image::Image& image) {
  for (size_t i = 1; i < image.threads.size(); ++i) {
    ThreadStart start{image.threads[i].tid, 0, kWorkStackTop - 0x10000, 0};
    write_memory(cell_.guest, kWorkData, &start, sizeof start);
    if (!run_until_trap(cell_.guest, head_.clone_thread, kWorkData, 0))
      throw failure("the guest died while making threads");
    read_memory(cell_.guest, kWorkData, &start, sizeof start);
    if (start.ret < 0)
      throw failure(fmt::format("cannot make thread {}: {}", start.tid, strerror(static_cast<int>(-start.ret))));
  }
  std::map<i32, pid_t> tids;
  for (const pid_t tid : read_tasks(cell_.guest)) {
    if (tid != cell_.guest) {
      int status = 0;
      if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
        throw failure("a guest thread died at its start");
    }
    tids[inner_pid(tid)] = tid;
  }
  for (const image::Thread& t : image.threads) {
    if (!tids.contains(t.tid)) throw failure(fmt::format("thread {} did not get its number", t.tid));
  }
  return tids;
}

void Restore::register_threads(const image::Image& image, const std::map<i32, pid_t>& tids) {
  struct ThreadData {
    u64 altstack[3];
    char name[16];
    __user_cap_header_struct header;
    __user_cap_data_struct none[2];
  };
  for (size_t i = image.threads.size(); i-- > 0;) {  // the leader last
    const image::Thread& t = image.threads[i];
    ThreadData data{};
    data.altstack[0] = t.altstack_sp;
    data.altstack[1] = static_cast<u32>(t.altstack_flags & ~1);
    data.altstack[2] = t.altstack_bytes;
    memcpy(data.name, t.name, sizeof data.name);
    data.header.version = _LINUX_CAPABILITY_VERSION_3;
    write_memory(cell_.guest, kWorkData, &data, sizeof data);
    std::vector<BatchOp> ops;
    if (t.robust_list != 0) ops.push_back(op(SYS_set_robust_list, t.robust_list, t.robust_bytes));
    ops.push_back(op(SYS_set_tid_address, t.clear_child_tid));
    if ((t.altstack_flags & 2) == 0 && t.altstack_bytes != 0) ops.push_back(op(SYS_sigaltstack, kWorkData, 0));
    if (t.rseq != 0) ops.push_back(op(SYS_rseq, t.rseq, t.rseq_bytes, 0, t.rseq_signature));
    ops.push_back(op(SYS_prctl, PR_SET_NAME, kWorkData + offsetof(ThreadData, name)));
    if (i == 0) {
      for (int signal = 1; signal <= 64; ++signal) {
        const wire::KernelSigaction& action = image.header.actions[signal - 1];
        if (signal == SIGKILL || signal == SIGSTOP || (action.handler == 0 && action.flags == 0)) continue;
        const u64 at = kWorkData + 0x1000 + static_cast<u64>(signal) * sizeof action;
        write_memory(cell_.guest, at, &action, sizeof action);
        ops.push_back(op(SYS_rt_sigaction, static_cast<u64>(signal), at, 0, 8));
      }
      for (u64 capability = 0; capability <= 63; ++capability) {
        ops.push_back(op(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0, 0, true));
      }
      ops.push_back(op(SYS_prctl, PR_SET_SECUREBITS, 0x2f | 0xc0, 0, 0, 0, 0, true));
      ops.push_back(op(SYS_close_range, 0, ~0u, 0));
    }
    ops.push_back(op(SYS_capset, kWorkData + offsetof(ThreadData, header), kWorkData + offsetof(ThreadData, none)));
    ops.push_back(op(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1));
    batch(tids.at(t.tid), ops, "thread registrations");
  }
}

Fd Restore::install_filter() {
  const std::vector<sock_filter>& program = filter_program();
  struct {
    u16 length;
    u8 padding[6];
    u64 filter;
  } header{static_cast<u16>(program.size()), {}, kWorkData + 0x100};
  write_memory(cell_.guest, kWorkData, &header, sizeof header);
  write_memory(cell_.guest, kWorkData + 0x100, program.data(), program.size() * sizeof(sock_filter));
  const u64 flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
                    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  std::vector<BatchOp> ops = {op(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, kWorkData)};
  batch(cell_.guest, ops, "seccomp filter");
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, cell_.guest, 0)));
  Fd listener(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), static_cast<int>(ops[0].ret), 0)));
  if (!listener) throw failure(fmt::format("pidfd_getfd: {}", strerror(errno)));
  fcntl(listener.get(), F_SETFD, FD_CLOEXEC);
  // The guest must not keep its own copy: it would hang instead of die when this host does (KERNEL.md 1). The close is
  // itself notified.
  std::vector<BatchOp> close_ops = {op(SYS_close, static_cast<u64>(ops[0].ret))};
  batch(cell_.guest, close_ops, "closing the listener", [&] {
    seccomp_notif notification{};
    if (ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &notification) != 0) return;
    seccomp_notif_resp response{};
    response.id = notification.id;
    response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
  });
  return listener;
}

void Restore::load_registers(const image::Image& image, const std::map<i32, pid_t>& tids) {
  ignore_sigtrap_again(cell_.guest, head_, image.header.actions[SIGTRAP - 1]);
  for (const image::Thread& t : image.threads) {
    const pid_t tid = tids.at(t.tid);
    user_regs_struct regs = t.regs;
    regs.orig_rax = ~0ull;
    if (!set_registers(tid, regs) || !set_xsave(tid, t) || !set_mask(tid, t.sigmask)) {
      throw failure(fmt::format("cannot load the registers of thread {}: {}", t.tid, strerror(errno)));
    }
    schedule_as(tid, {t.nice, t.policy});
  }
}

}  // namespace omig::host
