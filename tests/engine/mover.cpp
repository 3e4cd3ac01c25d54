// SPDX-License-Identifier: Apache-2.0
#include "tests/engine/mover.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <stdexcept>

#include "lib/image/xsave.h"

namespace omig::test {
namespace {

constexpr int kPatienceMs = 20'000;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + strerror(errno)); }

void must(bool good, const std::string& what) {
  if (!good) fail(what);
}

struct RseqConfiguration {
  u64 pointer;
  u32 bytes, signature, flags, pad;
};

}  // namespace

Subject::Subject(std::vector<std::string> arguments, std::vector<std::string> environment) {
  int in[2], out[2], err[2];
  must(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0, "pipe");
  arguments.insert(arguments.begin(), OMIG_SUBJECT);
  environment.push_back(std::string("LD_PRELOAD=") + OMIG_LIBRARY);
  if (std::none_of(environment.begin(), environment.end(), [](const auto& e) { return e.starts_with("OMIG_DIR="); }))
    environment.push_back("OMIG_DIR=/nonexistent");
  std::vector<char*> argv, envp;
  for (auto& a : arguments) argv.push_back(a.data());
  for (auto& e : environment) envp.push_back(e.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  pid_ = fork();
  must(pid_ >= 0, "fork");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);  // with a parent in another group of the session it is not orphaned: stop signals stop it
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    syscall(SYS_close_range, 3, ~0u, 0);
    execve(argv[0], argv.data(), envp.data());
    _exit(126);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  in_ = in[1], out_ = out[0], err_ = err[0];
  ready_ = line();
  if (!ready_.starts_with("ready")) throw std::runtime_error("the subject said: " + ready_);
}

Subject::~Subject() {
  if (!reaped_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, __WALL);
  }
  for (int fd : {in_, out_, err_})
    if (fd >= 0) close(fd);
}

void Subject::say(const std::string& line) {
  const std::string text = line + "\n";
  must(write(in_, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write to the subject");
}

std::string Subject::line() {
  for (;;) {
    if (const size_t end = buffered_.find('\n'); end != std::string::npos) {
      std::string found = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return found;
    }
    pollfd p{out_, POLLIN, 0};
    if (poll(&p, 1, kPatienceMs) != 1) throw std::runtime_error("the subject says nothing");
    char text[4096];
    const ssize_t got = read(out_, text, sizeof text);
    if (got <= 0) throw std::runtime_error("the subject ended its output after: " + buffered_ + " / " + errors());
    buffered_.append(text, static_cast<size_t>(got));
  }
}

std::string Subject::errors() {
  std::string all;
  for (;;) {
    pollfd p{err_, POLLIN, 0};
    if (poll(&p, 1, kPatienceMs) != 1) throw std::runtime_error("standard error stays open");
    char text[4096];
    const ssize_t got = read(err_, text, sizeof text);
    if (got <= 0) return all;
    all.append(text, static_cast<size_t>(got));
  }
}

void Subject::close_input() {
  close(in_);
  in_ = -1;
}

int Subject::wait_status() {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  must(fd >= 0, "pidfd_open");
  pollfd p{fd, POLLIN, 0};
  const int ready = poll(&p, 1, kPatienceMs);
  close(fd);
  if (ready != 1) throw std::runtime_error("the subject does not end");
  int status = 0;
  must(waitpid(pid_, &status, 0) == pid_, "waitpid");
  reaped_ = true;
  return status;
}

int Subject::wait_stop() {
  int status = 0;
  // waitpid has no time-out, and a pidfd tells only of the end.
  for (int waited_ms = 0; waited_ms < kPatienceMs; ++waited_ms) {
    const pid_t got = waitpid(pid_, &status, WUNTRACED | WCONTINUED | WNOHANG);
    if (got == pid_) return status;
    must(got == 0, "waitpid");
    poll(nullptr, 0, 1);
  }
  throw std::runtime_error("the subject neither stops nor continues");
}

u64 Subject::address(const std::string& name) const {
  const size_t at = ready_.find(" " + name + "=");
  if (at == std::string::npos) throw std::runtime_error("no " + name + " in: " + ready_);
  return std::stoull(ready_.substr(at + name.size() + 2), nullptr, 16);
}

std::vector<pid_t> tasks(pid_t pid) {
  std::vector<pid_t> found;
  DIR* directory = opendir(("/proc/" + std::to_string(pid) + "/task").c_str());
  must(directory != nullptr, "opendir task");
  while (dirent* entry = readdir(directory))
    if (const int tid = atoi(entry->d_name); tid > 0) found.push_back(tid);
  closedir(directory);
  std::sort(found.begin(), found.end(),
            [pid](pid_t a, pid_t b) { return (a == pid) != (b == pid) ? a == pid : a < b; });
  return found;
}

std::vector<ThreadState> states_at_home(Subject& subject) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (;;) try {
      Frozen frozen(subject.pid());
      return frozen.threads();
    } catch (const StillInEngine&) {
      if (std::chrono::steady_clock::now() > end) throw;
    }
}

void wait_until_it_spins(Subject& subject) {
  while (states_at_home(subject)[0].regs.rip - subject.address("loop") > 10) {
  }
}

std::vector<int> descriptors(pid_t pid) {
  std::vector<int> found;
  DIR* directory = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
  must(directory != nullptr, "opendir fd");
  while (dirent* entry = readdir(directory))
    if (entry->d_name[0] != '.') found.push_back(atoi(entry->d_name));
  closedir(directory);
  return found;
}

std::string status_field(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":")) return line.substr(line.find_first_not_of(" \t", name.size() + 1));
  return "";
}

void read_memory(pid_t pid, u64 from, void* to, size_t bytes) {
  iovec local{to, bytes}, remote{reinterpret_cast<void*>(from), bytes};
  must(process_vm_readv(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes), "process_vm_readv");
}

void write_memory(pid_t pid, u64 to, const void* from, size_t bytes) {
  iovec local{const_cast<void*>(from), bytes}, remote{reinterpret_cast<void*>(to), bytes};
  must(process_vm_writev(pid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes), "process_vm_writev");
}

Anchor read_anchor(pid_t pid) {
  Anchor anchor;
  read_memory(pid, kAnchorAddress, &anchor, sizeof anchor);
  return anchor;
}

namespace {

// A call that was interrupted twice shows restart_syscall, whose memory in the kernel ends with a sigreturn. Its
// arguments are still in the registers, and its number stands in the instruction before: mov $nr, %eax; syscall.
u64 original_call(pid_t pid, const user_regs_struct& regs) {
  u8 code[7];
  read_memory(pid, regs.rip - 7, code, sizeof code);
  if (code[0] != 0xb8 || code[5] != 0x0f || code[6] != 0x05) {
    char text[64];
    snprintf(text, sizeof text, "an interrupted call of unknown number at %llx: %02x %02x", regs.rip, code[0], code[1]);
    throw std::runtime_error(text);
  }
  u32 nr;
  memcpy(&nr, code + 1, 4);
  return nr;
}

}  // namespace

std::string registrations(const std::vector<ThreadState>& threads) {
  std::string text;
  for (const ThreadState& t : threads) {
    char line[256];
    snprintf(line, sizeof line, "tid %d mask %lx rseq %lx/%u/%x robust %lx/%lu fs %llx\n", t.tid, t.mask, t.rseq,
             t.rseq_bytes, t.rseq_signature, t.robust_list, t.robust_bytes, t.regs.fs_base);
    text += line;
  }
  return text;
}

namespace {

// Stops one thread at its next opportunity; signals that are delivered on the way are delivered.
bool seize(pid_t tid) {
  if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD) != 0) {
    if (errno != ESRCH) fail("PTRACE_SEIZE");
    return false;
  }
  must(ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0, "PTRACE_INTERRUPT");
  for (;;) {
    int status = 0;
    must(waitpid(tid, &status, __WALL) == tid, "waitpid for a stop");
    if (!WIFSTOPPED(status)) return false;
    if (status >> 16 == PTRACE_EVENT_STOP) return true;
    must(ptrace(PTRACE_CONT, tid, 0, WSTOPSIG(status)) == 0, "PTRACE_CONT");
  }
}

void set_regs(pid_t tid, user_regs_struct regs) {
  iovec io{&regs, sizeof regs};
  must(ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &io) == 0, "PTRACE_SETREGSET");
}

void set_mask(pid_t tid, u64 mask) { must(ptrace(PTRACE_SETSIGMASK, tid, 8, &mask) == 0, "PTRACE_SETSIGMASK"); }

}  // namespace

Frozen::Frozen(pid_t pid) : pid_(pid) {
  try {
    seize_all();
  } catch (...) {
    release();
    throw;
  }
}

void Frozen::seize_all() {
  for (bool found = true; found;) {
    found = false;
    for (pid_t tid : tasks(pid_)) {
      if (std::any_of(threads_.begin(), threads_.end(), [tid](const auto& t) { return t.tid == tid; })) continue;
      if (!seize(tid)) continue;
      found = true;
      threads_.push_back({});
      threads_.back().tid = tid;
      capture(threads_.back());
    }
  }
  read_memory(pid_, kEngineHeadAddress, &head_, sizeof head_);
  if (head_.magic != kEngineHeadMagic) throw std::runtime_error("no engine in the subject");
}

Frozen::~Frozen() { release(); }

void Frozen::release() {
  if (!held_) return;
  held_ = false;
  for (const auto& t : threads_) {
    if (mask_changed_) set_mask(t.tid, t.mask);
    ptrace(PTRACE_DETACH, t.tid, 0, 0);
  }
}

void Frozen::capture(ThreadState& t) {
  iovec io{&t.regs, sizeof t.regs};
  must(ptrace(PTRACE_GETREGSET, t.tid, NT_PRSTATUS, &io) == 0, "PTRACE_GETREGSET");
  if (t.regs.rip >= kEngineBase && t.regs.rip < kEngineEnd) throw StillInEngine();
  t.xstate.resize(16384);
  io = {t.xstate.data(), t.xstate.size()};
  must(ptrace(PTRACE_GETREGSET, t.tid, NT_X86_XSTATE, &io) == 0, "PTRACE_GETREGSET xstate");
  t.xstate.resize(io.iov_len);
  must(ptrace(PTRACE_GETSIGMASK, t.tid, 8, &t.mask) == 0, "PTRACE_GETSIGMASK");
  RseqConfiguration rseq{};
  must(ptrace(static_cast<__ptrace_request>(0x420f), t.tid, sizeof rseq, &rseq) > 0, "PTRACE_GET_RSEQ_CONFIGURATION");
  t.rseq = rseq.pointer, t.rseq_bytes = rseq.bytes, t.rseq_signature = rseq.signature;
  must(syscall(SYS_get_robust_list, t.tid, &t.robust_list, &t.robust_bytes) == 0, "get_robust_list");
  const long rax = static_cast<long>(t.regs.rax);
  if (static_cast<long>(t.regs.orig_rax) >= 0 && ((rax <= -512 && rax >= -514) || rax == -516)) {
    t.regs.rax = t.regs.orig_rax == SYS_restart_syscall ? original_call(pid_, t.regs) : t.regs.orig_rax;
    t.regs.rip -= 2;
  }
  t.regs.orig_rax = ~0ull;
}

long Frozen::inject(long nr, std::vector<u64> args) {
  const pid_t tid = threads_[0].tid;
  args.resize(6);
  user_regs_struct regs = threads_[0].regs;
  regs.rip = head_.gadget;
  regs.rax = static_cast<u64>(nr);
  regs.rdi = args[0], regs.rsi = args[1], regs.rdx = args[2], regs.r10 = args[3], regs.r8 = args[4], regs.r9 = args[5];
  mask_changed_ = true;
  set_mask(tid, ~0ull);
  set_regs(tid, regs);
  for (int stop = 0; stop < 2; ++stop) {
    must(ptrace(PTRACE_SYSCALL, tid, 0, 0) == 0, "PTRACE_SYSCALL");
    int status = 0;
    must(waitpid(tid, &status, __WALL) == tid, "waitpid");
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
      throw std::runtime_error("the gadget does not stop");
  }
  iovec io{&regs, sizeof regs};
  must(ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &io) == 0, "PTRACE_GETREGSET");
  set_regs(tid, threads_[0].regs);
  return static_cast<long>(regs.rax);
}

void Frozen::prepare(u16 port, const u8* token, u32 leader_slot, u32 patience_s) {
  const auto map = [this](u64 at, u64 bytes) {
    const long got = inject(
        SYS_mmap, {at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0});
    if (got != static_cast<long>(at) && got != -EEXIST) throw std::runtime_error("mmap in the subject");
  };
  map(kAnchorAddress, kPageSize);
  for (u32 i = 0; i < threads_.size(); ++i) map(slot_address(i), kSlotMapped);
  const Anchor old = read_anchor(pid_);
  Anchor anchor;
  if (old.magic == kAnchorMagic) anchor.moves = old.moves, anchor.slots_used = old.slots_used;
  anchor.slots_used = std::max<u32>(anchor.slots_used, static_cast<u32>(threads_.size()));
  anchor.where = Where::departing;
  strcpy(anchor.node, "elsewhere");
  const u8 loopback[4] = {127, 0, 0, 1};
  memcpy(anchor.host_address, loopback, 4);
  anchor.host_port = port;
  anchor.patience_s = patience_s;
  memcpy(anchor.token, token, sizeof anchor.token);
  u32* words = reinterpret_cast<u32*>(anchor.engine_private);
  words[1] = leader_slot;
  words[5] = static_cast<u32>(threads_.size());
  write_memory(pid_, kAnchorAddress, &anchor, sizeof anchor);
  for (u32 i = 0; i < threads_.size(); ++i) {
    const ThreadState& t = threads_[i];
    SlotBlock block{};
    block.tid = t.tid, block.in_use = 1, block.slot = i, block.link_fd = -1;
    block.rseq = t.rseq, block.rseq_bytes = t.rseq_bytes, block.rseq_signature = t.rseq_signature;
    block.robust_list = t.robust_list, block.robust_bytes = t.robust_bytes;
    write_memory(pid_, slot_address(i), &block, sizeof block);
    const auto frame = make_frame(t, slot_address(i) + kSlotFrame);
    write_memory(pid_, slot_address(i) + kSlotFrame, frame.data(), frame.size());
  }
}

void Frozen::divert(const std::vector<size_t>& chosen) {
  for (size_t i = 0; i < threads_.size(); ++i) {
    user_regs_struct regs = threads_[i].regs;
    const bool go = chosen.empty() || std::find(chosen.begin(), chosen.end(), i) != chosen.end();
    if (go) {
      regs.rip = head_.depart_entry;
      regs.rdi = i;
      regs.rsp = slot_address(static_cast<u32>(i)) + kSlotStackTop - 8;
      regs.eflags &= ~0x500ull;
    }
    set_mask(threads_[i].tid, go ? ~0ull : threads_[i].mask);
    set_regs(threads_[i].tid, regs);
  }
  held_ = false;
  for (const auto& t : threads_) must(ptrace(PTRACE_DETACH, t.tid, 0, 0) == 0, "PTRACE_DETACH");
}

std::vector<u8> make_frame(const ThreadState& t, u64 frame_address) {
  SignalFrame f;
  const auto& r = t.regs;
  f.r8 = r.r8, f.r9 = r.r9, f.r10 = r.r10, f.r11 = r.r11, f.r12 = r.r12, f.r13 = r.r13, f.r14 = r.r14, f.r15 = r.r15;
  f.rdi = r.rdi, f.rsi = r.rsi, f.rbp = r.rbp, f.rbx = r.rbx, f.rdx = r.rdx, f.rax = r.rax, f.rcx = r.rcx,
  f.rsp = r.rsp;
  f.rip = r.rip, f.rflags = r.eflags;
  f.cs = static_cast<u16>(r.cs), f.ss = static_cast<u16>(r.ss);
  f.sigmask = t.mask;
  f.fpstate = frame_address != 0 ? frame_address + kFrameFpstateOffset : 0;
  const auto [features, xstate_bytes] = image::shape_in_frame(t.xstate.data(), static_cast<u32>(t.xstate.size()));
  std::vector<u8> bytes(kFrameFpstateOffset + xstate_bytes + 4);
  memcpy(bytes.data(), &f, sizeof f);
  u8* x = bytes.data() + kFrameFpstateOffset;
  memcpy(x, t.xstate.data(), xstate_bytes);
  const u32 magic1 = 0x46505853, magic2 = 0x46505845, extended = xstate_bytes + 4;
  memcpy(x + 464, &magic1, 4);
  memcpy(x + 468, &extended, 4);
  memcpy(x + 472, &features, 8);
  memcpy(x + 480, &xstate_bytes, 4);
  memcpy(x + xstate_bytes, &magic2, 4);
  return bytes;
}

}  // namespace omig::test
