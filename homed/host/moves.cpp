// SPDX-License-Identifier: Apache-2.0
// Moves of a guest: home, and on to another node.
//
// Both freeze the guest, silence the ear (signals stay pending at home meanwhile), capture everything, and keep the
// guest frozen until the other side has all of it. Only then the last word is said: `go` to the deputies, or theirs
// that they listen to another host now. Before it any failure thaws the guest where it is.
#include <errno.h>
#include <fmt/format.h>
#include <linux/prctl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "homed/host/fault.h"
#include "homed/host/proc.h"
#include "homed/host/restore.h"
#include "homed/host/visit.h"
#include "lib/image/layout.h"
#include "lib/image/sigframe.h"

namespace omig::host {
namespace {

constexpr milliseconds kQuick{5000};

double ms_since(SteadyClock::time_point start) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - start).count();
}

i64 clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return t.tv_sec * 1'000'000'000ll + t.tv_nsec;
}

std::vector<image::Pending> decoded(std::vector<image::Pending> list) {
  for (image::Pending& pending : list) {
    siginfo_t info;
    memcpy(&info, pending.siginfo, sizeof info);
    decode_siginfo(&info);
    memcpy(pending.siginfo, &info, sizeof info);
  }
  return list;
}

}  // namespace

// Before a freeze: no more signals come from home, and those that are here find their handlers, so that they stay ahead
// of the ones that now wait at home. Bounded: a signal that no thread takes travels as pending.
bool Visit::silence(Guest& guest) {
  if (!exclude(guest, ~0ull, kQuick)) return false;
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(50);
  for (bool waiting = true; waiting && SteadyClock::now() < deadline;) {
    waiting = false;
    {
      const std::lock_guard lock(mutex_);
      for (auto& [tid, t] : guest.threads) {
        const auto masks = read_masks(t->status.get());
        waiting = waiting || (masks && ((masks->pending | masks->shared_pending) & ~masks->blocked) != 0);
      }
    }
    if (waiting) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

// Signals that waited for single threads at home travelled with the image; the deputies' own copies go.
void Visit::take_pending_from_home(const std::vector<image::Pending>& pending) {
  Guest& guest = *guests_.begin()->second;
  for (const image::Pending& p : pending) {
    i32 signal = 0;
    memcpy(&signal, p.siginfo, sizeof signal);
    const u64 input[3] = {1ull << (signal - 1), 0, 0};  // mask, and a time-out of nothing
    const wire::Reloc relocs[] = {{0, 0}, {2, 8}};
    for (auto& [tid, t] : guest.threads) {
      if (t->home_tid == p.tid)
        home_call(*t, SYS_rt_sigtimedwait, {0, 0, 0, 8}, {reinterpret_cast<const u8*>(input), sizeof input}, relocs);
    }
  }
}

// On the tracer thread, everything frozen. What only the threads themselves can tell is asked by injected calls;
// afterwards each has its normalised registers back and could go on.
bool Visit::capture_guest(Guest& guest, image::Image* image, std::string* reason) {
  std::vector<std::shared_ptr<GuestThread>> threads;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [tid, t] : guest.threads) threads.push_back(t);
  }
  std::sort(threads.begin(), threads.end(),
            [&](const auto& a, const auto& b) { return (a->tid == guest.pid) > (b->tid == guest.pid); });
  image->header = guest.header;
  image->header.actions_known = 1;
  image->header.ear_excluded = guest.ear_excluded;
  image->header.monotonic_ns = clock_ns(CLOCK_MONOTONIC) + options_.monotonic_offset_ns;
  image->header.boottime_ns = clock_ns(CLOCK_BOOTTIME) + options_.boottime_offset_ns;
  if (threads.front()->tid == guest.pid) image->pending = decoded(peek_pending(guest.pid, 0, true));
  for (const auto& t : threads) {
    image::Thread thread;
    for (const image::Pending& p : decoded(peek_pending(t->tid, t->home_tid, false))) image->pending.push_back(p);
    if (t->held_signal != 0) {
      siginfo_t info{};
      ptrace(PTRACE_GETSIGINFO, t->tid, 0, &info);
      image::Pending held;
      held.tid = t->home_tid;
      memcpy(held.siginfo, &info, sizeof info);
      image->pending.push_back(held);
      guest.held.push_back(held);
    }
    if (!capture_thread(t->tid, &thread)) {
      *reason = "it ended";
      return false;
    }
    thread.tid = t->home_tid;
    normalise_restart(guest.pid, &thread, t->held_signal != 0);
    t->held_signal = 0;
    if (t->sleep_deadline_ns != 0) {
      thread.sleep_deadline_ns = t->sleep_deadline_ns + static_cast<u64>(options_.monotonic_offset_ns);
    }
    thread.restart_at_home = t->restart_at_home ? 1 : 0;
    std::vector<BatchOp> ops = {op(SYS_prctl, 40 /* PR_GET_TID_ADDRESS */, kWorkData),
                                op(SYS_sigaltstack, 0, kWorkData + 16)};
    const bool leader = t == threads.front();
    if (leader) {
      for (u64 signal = 1; signal <= 64; ++signal) {
        ops.push_back(op(SYS_rt_sigaction, signal, 0, kWorkData + 0x1000 + signal * sizeof(wire::KernelSigaction), 8, 0,
                         0, true));
      }
      ops.push_back(op(SYS_brk, 0));
    }
    const long result = run_batch(t->tid, head_, ops);
    struct {
      u64 clear_tid;
      u64 pad;
      u64 sp;
      i32 flags;
      i32 pad2;
      u64 bytes;
    } data{};
    const bool read = read_memory(guest.pid, kWorkData, &data, sizeof data);
    if (leader) {
      read_memory(guest.pid, kWorkData + 0x1000 + sizeof(wire::KernelSigaction), image->header.actions,
                  sizeof image->header.actions);
      image->header.mm.brk = static_cast<u64>(ops.back().ret);
    }
    thread.clear_child_tid = data.clear_tid;
    thread.altstack_sp = data.sp;
    thread.altstack_flags = data.flags;
    thread.altstack_bytes = data.bytes;
    if (result < 0 || !read || !set_registers(t->tid, thread.regs) || !set_mask(t->tid, thread.sigmask)) {
      *reason = fmt::format("cannot read its thread {}: {}", t->home_tid, strerror(static_cast<int>(-result)));
      return false;
    }
    image->threads.push_back(thread);
  }
  if (threads.front()->tid == guest.pid) {
    ignore_sigtrap_again(guest.pid, head_, image->header.actions[SIGTRAP - 1]);
    set_registers(guest.pid, image->threads.front().regs);
    set_mask(guest.pid, image->threads.front().sigmask);
  }
  Mappings now = read_mappings(guest.pid, &guest.files);
  if (!now.refusal.empty()) {
    *reason = now.refusal;
    return false;
  }
  image->vmas = std::move(now.vmas);
  image->home_vmas = guest.home_vmas;
  image->files = guest.files.files();
  image->header.vmas = static_cast<u32>(image->vmas.size());
  image->header.home_vmas = static_cast<u32>(image->home_vmas.size());
  image->header.threads = static_cast<u32>(image->threads.size());
  image->header.pending = static_cast<u32>(image->pending.size());
  return true;
}

// One call per run of neighbouring mappings, all sent before the first answer is read.
void Visit::discard_home_memory() {
  Guest& guest = *guests_.begin()->second;
  GuestThread& t = *guest.threads.at(guest.pid);
  const u64 keep_from = page_down(guest.header.mm.arg_start);  // ps at home still shows the command line
  std::vector<std::pair<u64, u64>> runs;
  for (const image::Vma& v : guest.home_vmas) {
    if ((v.kind != image::VmaKind::anonymous && v.kind != image::VmaKind::file) ||
        (v.flags & image::kSharedReadOnly) != 0)
      continue;
    const u64 end = v.start <= keep_from && keep_from < v.end ? keep_from : v.end;
    if (!runs.empty() && runs.back().second == v.start) {
      runs.back().second = end;
    } else {
      runs.push_back({v.start, end});
    }
  }
  std::vector<u64> seqs;
  for (const auto& [start, end] : runs) {
    const u64 args[6] = {start, end - start, MADV_DONTNEED, 0, 0, 0};
    syscalls::Prepared call;
    syscalls::build_call(SYS_madvise, args, {}, {}, {}, 0, &call);
    call.frame().seq = ++t.seq;
    seqs.push_back(t.seq);
    if (!send_bytes(t.link.get(), call.message.data(), call.message.size())) break;
  }
  for (const u64 seq : seqs) {
    wire::Reply reply;
    std::vector<u8> ignored;
    if (!receive_reply(t.link.get(), seq, &reply, &ignored, true)) return;
  }
}

// The way home, step by step, on the deputies' own links.
class Homecoming {
 public:
  Homecoming(Visit& visit, Guest& guest, const image::Image& image) : visit_(visit), guest_(guest), image_(image) {
    for (auto& [tid, t] : guest.threads) by_home_tid_[t->home_tid] = t;
    lead_ = by_home_tid_.at(image.threads.front().tid);
  }

  bool prepare(std::string* reason, PageStatistics* statistics) {
    plan_ = image::plan_layout(guest_.home_vmas, image_.vmas);
    if (guest_.home_dirty && !discard()) return broken(reason);
    guest_.home_dirty = true;
    if (!edit(reason) || !send_memory(reason, statistics) || !protect(reason)) return false;
    if (!set_memory_map(reason) || !set_actions(reason)) return false;
    for (const image::Pending& p : image_.pending) queue(p);
    return hand_over_state(reason);
  }

  // The last word: from here on the guest never runs again.
  void go() {
    std::map<GuestThread*, u64> seqs;
    for (auto& [tid, t] : by_home_tid_) {
      const u64 seq = seqs[t.get()] = ++t->seq;
      send_frame(t->link.get(), wire::Type::go, seq, &image_.header.actions[wire::kAbortSignal - 1],
                 sizeof(wire::KernelSigaction));
    }
    for (auto& [t, seq] : seqs) {
      wire::Reply reply;
      receive_reply_within(t->link.get(), seq, &reply, kQuick);
    }
  }

 private:
  bool broken(std::string* reason) {
    *reason = "the link to its home broke";
    return false;
  }

  long call(u32 nr, std::initializer_list<u64> args, std::span<const u8> input = {},
            std::span<const wire::Reloc> relocs = {}) {
    return visit_.home_call(*lead_, nr, args, input, relocs);
  }

  bool failed(std::string* reason, const char* what, long error) {
    *reason = fmt::format("home cannot take it back: {}: {}", what, strerror(static_cast<int>(-error)));
    return false;
  }

  bool discard() {
    for (const image::Vma& v : guest_.home_vmas) {
      if (v.kind != image::VmaKind::anonymous && v.kind != image::VmaKind::file) continue;
      if ((v.flags & image::kSharedReadOnly) == 0) call(SYS_madvise, {v.start, v.bytes(), MADV_DONTNEED});
    }
    return true;
  }

  bool edit(std::string* reason) {
    for (const image::Edit& e : plan_.edits) {
      long result = 0;
      if (e.kind == image::EditKind::unmap) {
        result = call(SYS_munmap, {e.start, e.bytes});
      } else if (e.kind == image::EditKind::map_anonymous) {
        const u64 flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE |
                          ((e.flags & image::kGrowsDown) != 0 ? MAP_GROWSDOWN : 0);
        result = call(SYS_mmap, {e.start, e.bytes, PROT_READ | PROT_WRITE, flags, ~0ull, 0});
        if (result >= 0) result = 0;
        if ((e.prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) != (PROT_READ | PROT_WRITE))
          reprotect_.push_back({e.start, e.bytes, e.prot});
      } else {
        reprotect_.push_back({e.start, e.bytes, e.prot});
      }
      if (result < 0) return failed(reason, "memory layout", result);
    }
    return true;
  }

  bool send_memory(std::string* reason, PageStatistics* statistics) {
    std::vector<bool> there(guest_.files.files().size(), true);
    size_t at = 0;
    long error = 0;
    const PageSink sink = [&](u64 address, std::span<const u8> bytes) {
      while (at < plan_.result.size() && plan_.result[at].end <= address) ++at;
      if (at < plan_.result.size() && opened_ != plan_.result[at].start && writable_first(plan_.result[at], &error) < 0)
        return false;
      std::vector<u8> head(sizeof(wire::Frame) + sizeof address);
      const wire::Frame frame{wire::Type::write_memory, static_cast<u32>(sizeof address + bytes.size()), ++lead_->seq};
      memcpy(head.data(), &frame, sizeof frame);
      memcpy(head.data() + sizeof frame, &address, sizeof address);
      return send_bytes(lead_->link.get(), head.data(), head.size()) &&
             send_bytes(lead_->link.get(), bytes.data(), bytes.size());
    };
    const u64 kept_from = page_down(guest_.header.mm.arg_start), kept_to = page_up(guest_.header.mm.env_end);
    if (send_pages(guest_.pid, plan_.result, there, sink, statistics, kept_from, kept_to)) return true;
    return error < 0 ? failed(reason, "memory protection", error) : broken(reason);
  }

  // Home's mapping must be writable while its pages arrive.
  long writable_first(const image::Vma& vma, long* error) {
    opened_ = vma.start;
    const auto home = std::upper_bound(guest_.home_vmas.begin(), guest_.home_vmas.end(), vma.start,
                                       [](u64 a, const image::Vma& v) { return a < v.end; });
    const bool writable = (vma.prot & PROT_WRITE) != 0 && home != guest_.home_vmas.end() && home->start <= vma.start &&
                          home->end >= vma.end && (home->prot & PROT_WRITE) != 0;
    if (writable) return 0;
    *error = call(SYS_mprotect, {vma.start, vma.bytes(), PROT_READ | PROT_WRITE});
    reprotect_.push_back({vma.start, vma.bytes(), vma.prot});
    return *error;
  }

  bool protect(std::string* reason) {
    for (const auto& [start, bytes, prot] : reprotect_) {
      if (const long result = call(SYS_mprotect, {start, bytes, prot}); result < 0)
        return failed(reason, "memory protection", result);
    }
    return true;
  }

  bool set_memory_map(std::string* reason) {
    struct {
      image::MmMap mm;
      u64 auxv;
      u32 auxv_bytes;
      u32 exe_fd;
      u8 vector[sizeof(image::Header::auxv)];
    } map{image_.header.mm, 0, image_.header.auxv_bytes, ~0u, {}};
    memcpy(map.vector, image_.header.auxv, sizeof map.vector);
    const wire::Reloc relocs[] = {{2, 0},
                                  {wire::kRelocScratch | static_cast<u32>(offsetof(decltype(map), auxv)),
                                   static_cast<u32>(offsetof(decltype(map), vector))}};
    const long result = call(SYS_prctl, {PR_SET_MM, PR_SET_MM_MAP, 0, offsetof(decltype(map), vector), 0},
                             {reinterpret_cast<const u8*>(&map), sizeof map}, relocs);
    return result >= 0 || failed(reason, "memory map", result);
  }

  bool set_actions(std::string* reason) {
    for (u64 signal = 1; signal <= 64; ++signal) {
      if (signal == SIGKILL || signal == SIGSTOP || signal == static_cast<u64>(wire::kAbortSignal)) continue;
      const wire::Reloc reloc{1, 0};
      const wire::KernelSigaction& action = image_.header.actions[signal - 1];
      const long result =
          call(SYS_rt_sigaction, {signal, 0, 0, 8}, {reinterpret_cast<const u8*>(&action), sizeof action}, {&reloc, 1});
      if (result < 0) return failed(reason, "signal actions", result);
    }
    return true;
  }

  void queue(const image::Pending& pending) {
    i32 signal = 0;
    memcpy(&signal, pending.siginfo, sizeof signal);
    const std::span<const u8> info(pending.siginfo, sizeof pending.siginfo);
    const u64 pid = static_cast<u64>(guest_.home_pid);
    if (pending.tid == 0) {
      const wire::Reloc reloc{2, 0};
      call(SYS_rt_sigqueueinfo, {pid, static_cast<u64>(signal), 0}, info, {&reloc, 1});
    } else {
      const wire::Reloc reloc{3, 0};
      call(SYS_rt_tgsigqueueinfo, {pid, static_cast<u64>(pending.tid), static_cast<u64>(signal), 0}, info, {&reloc, 1});
    }
  }

  bool hand_over_state(std::string* reason) {
    std::map<GuestThread*, u64> seqs;
    for (const image::Thread& original : image_.threads) {
      const auto& t = by_home_tid_.at(original.tid);
      image::Thread thread = original;
      if (!finish_sleep_natively(*t, &thread)) return broken(reason);
      const std::vector<u8> frame = make_signal_frame(thread, slot_address(t->slot) + kSlotFrame);
      wire::ResumeState state;
      state.fs_base = thread.regs.fs_base;
      state.gs_base = thread.regs.gs_base;
      state.clear_child_tid = thread.clear_child_tid;
      state.robust_list = thread.robust_list;
      state.robust_bytes = thread.robust_bytes;
      state.rseq = thread.rseq;
      state.rseq_bytes = thread.rseq_bytes;
      state.rseq_signature = thread.rseq_signature;
      state.altstack_sp = thread.altstack_sp;
      state.altstack_bytes = thread.altstack_bytes;
      state.altstack_flags = thread.altstack_flags;
      state.frame_bytes = static_cast<u32>(frame.size());
      state.fpstate_offset = kFrameFpstateOffset;
      state.threads = static_cast<u32>(image_.threads.size());
      std::vector<u8> body(sizeof state + frame.size());
      memcpy(body.data(), &state, sizeof state);
      memcpy(body.data() + sizeof state, frame.data(), frame.size());
      const u64 seq = seqs[t.get()] = ++t->seq;
      if (!send_frame(t->link.get(), wire::Type::resume_state, seq, body.data(), body.size())) return broken(reason);
    }
    for (auto& [t, seq] : seqs) {
      wire::Reply reply;
      std::vector<u8> ignored;
      if (!receive_reply(t->link.get(), seq, &reply, &ignored)) return broken(reason);
      if (reply.ret < 0) return failed(reason, "thread state", reply.ret);
    }
    return true;
  }

  // A sleep cut short by the freeze is issued again by the thread itself at home: its registers must name the rest
  // only. A timespec for that lies in the slot, which stays mapped at home.
  bool finish_sleep_natively(GuestThread& t, image::Thread* thread) {
    if (thread->sleep_deadline_ns == 0) return true;
    const user_regs_struct& r = thread->regs;
    const std::array<u64, 4> call_now{r.rax, r.rdi, r.rsi, r.rdx};
    if (call_now != t.sleep_call) return true;
    const u64 now = static_cast<u64>(clock_ns(CLOCK_MONOTONIC) + visit_.options_.monotonic_offset_ns);
    const u64 rest_at = slot_address(t.slot) + kSlotRest;
    Rest rest;
    if (!wait_for_the_rest(thread, now, rest_at, &rest)) return true;
    u8 body[sizeof rest_at + sizeof rest];
    memcpy(body, &rest_at, sizeof rest_at);
    memcpy(body + sizeof rest_at, &rest, sizeof rest);
    return send_frame(t.link.get(), wire::Type::write_memory, ++t.seq, body, sizeof body);
  }

  struct Protect {
    u64 start, bytes;
    u64 prot;
  };

  Visit& visit_;
  Guest& guest_;
  const image::Image& image_;
  std::map<i32, std::shared_ptr<GuestThread>> by_home_tid_;
  std::shared_ptr<GuestThread> lead_;
  image::LayoutPlan plan_;
  std::vector<Protect> reprotect_;
  u64 opened_ = ~0ull;
};

MoveReport Visit::go_home(std::shared_ptr<Guest> guest) {
  const std::lock_guard moving(moves_mutex_);
  const auto start = SteadyClock::now();
  MoveReport report;
  bool frozen = false, captured = false;
  const u64 excluded = guest->ear_excluded;
  if (guest->ending) {
    report.reason = "it has ended";
    return report;
  }
  bool ready = silence(*guest);
  if (!ready) report.reason = "the link to its home broke";
  if (ready) on_tracer([&] { frozen = freeze(*guest, &report.reason); });
  if (!frozen) {
    exclude(*guest, excluded, kQuick);
    return report;
  }
  image::Image image;
  PageStatistics statistics;
  on_tracer([&] { captured = capture_guest(*guest, &image, &report.reason); });
  ready = captured;
  if (ready) {
    fault_point("home-captured");
    Homecoming homecoming(*this, *guest, image);
    ready = homecoming.prepare(&report.reason, &statistics);
    fault_point("home-prepared");
    if (ready) {
      {
        const std::lock_guard lock(mutex_);
        guest->coming_home = true;
      }
      homecoming.go();
    }
  }
  if (!ready) {
    exclude(*guest, excluded, kQuick);
    on_tracer([&] { unfreeze(*guest); });
    return report;
  }
  on_tracer([&] {
    guest->ending = true;
    kill(guest->pid, SIGKILL);
  });
  report.ok = true;
  report.freeze_ms = report.total_ms = ms_since(start);
  report.bytes = statistics.bytes;
  return report;
}

MoveReport Visit::go_on(std::shared_ptr<Guest> guest, const Endpoint& to, const std::string& node) {
  const std::lock_guard moving(moves_mutex_);
  const auto start = SteadyClock::now();
  MoveReport report;
  const Mappings before = read_mappings(guest->pid, &guest->files);
  if (!before.refusal.empty()) {
    report.reason = before.refusal;
    return report;
  }
  const nlohmann::json request = {
      {"op", "move"},
      {"pid", guest->home_pid},
      {"home", options_.home_name},
      {"version", wire::kVersion},
      {"cpu_flags", cpu_flags()},
      {"vdso", vdso_sha256()},
      {"rss_bytes", rss_bytes(guest->pid)},
      {"threads", guest->threads.size()},
      {"monotonic_ns", clock_ns(CLOCK_MONOTONIC) + options_.monotonic_offset_ns},
      {"boottime_ns", clock_ns(CLOCK_BOOTTIME) + options_.boottime_offset_ns},
      {"boot_id", options_.monotonic_offset_ns == 0 ? read_file("/proc/sys/kernel/random/boot_id", 64) : ""},
      {"uid", guest->home_uid},
      {"moves", options_.moves},
      {"command", guest->command}};
  MoveConversation conversation;
  const std::vector<image::File> offered = guest->files.files();
  if (!conversation.open(to, node, options_.key, request, offered, preparations(guest->pid, before.vmas),
                         &report.reason))
    return report;

  bool frozen = false, captured = false;
  const u64 excluded = guest->ear_excluded;
  if (guest->ending) {
    report.reason = "it has ended";
    return report;
  }
  bool moved = silence(*guest);
  if (!moved) report.reason = "the link to its home broke";
  const auto frozen_at = SteadyClock::now();
  if (moved) on_tracer([&] { frozen = freeze(*guest, &report.reason); });
  if (!frozen) {
    exclude(*guest, excluded, kQuick);
    return report;
  }
  image::Image image;
  PageStatistics statistics;
  on_tracer([&] { captured = capture_guest(*guest, &image, &report.reason); });
  moved = captured;
  for (image::Vma& v : image.vmas) {
    if (v.file >= static_cast<i32>(offered.size())) v.kind = image::VmaKind::anonymous, v.file = -1, v.offset = 0;
  }
  fault_point("relay-captured");
  moved = moved && conversation.ship(guest->pid, image, &report.reason, &statistics);
  if (moved) {
    {
      const std::lock_guard lock(mutex_);
      guest->coming_home = true;  // the ends of the links are expected
    }
    std::map<GuestThread*, u64> seqs;
    for (auto& [tid, t] : guest->threads) {
      wire::Relink relink;
      relink.port = conversation.port;
      relink.leader = t->home_tid == image.threads.front().tid ? 1 : 0;
      memcpy(relink.address, conversation.address.data(), 4);
      memcpy(relink.token, conversation.token.data(), sizeof relink.token);
      node.copy(relink.node, sizeof relink.node - 1);
      const u64 seq = seqs[t.get()] = ++t->seq;
      send_frame(t->link.get(), wire::Type::relink, seq, &relink, sizeof relink);
    }
    for (auto& [t, seq] : seqs) {
      wire::Reply reply;
      std::vector<u8> ignored;
      if (receive_reply(t->link.get(), seq, &reply, &ignored)) {  // it stays: the new host did not say `running`
        moved = false;
        report.reason = fmt::format("{} did not take over: {}", node, strerror(static_cast<int>(-reply.ret)));
      }
    }
  }
  if (!moved) {
    {
      const std::lock_guard lock(mutex_);
      guest->coming_home = false;
    }
    exclude(*guest, excluded, kQuick);
    on_tracer([&] { unfreeze(*guest); });
    return report;
  }
  std::string ignored;
  conversation.wait_committed(&ignored);
  on_tracer([&] {
    guest->ending = true;
    kill(guest->pid, SIGKILL);
  });
  report.ok = true;
  report.freeze_ms = ms_since(frozen_at);
  report.total_ms = ms_since(start);
  report.bytes = statistics.bytes;
  return report;
}

// A call that cannot be served away: the process goes home and executes it there. `notification` 0: its thread is
// already stopped before the call.
void Visit::request_home(const std::shared_ptr<GuestThread>& t, u64 notification, std::string reason) {
  std::shared_ptr<Guest> guest = find_guest(t->guest->home_pid);
  if (!guest) return;
  fmt::print(stderr, "omig-host: {} goes home: {}\n", guest->home_pid, reason);
  std::thread([this, t, guest, notification] {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      first = !guest->freezing;
      t->in_call = true;  // until the freeze is under way the caller's call is in flight
      t->abortable = false;
      if (first) guest->freezing = true;
    }
    if (notification != 0) interrupted(t, notification, false);
    if (!first) return;  // somebody else is taking it home or on; the call is issued again where it wakes up
    const MoveReport report = go_home(guest);
    if (report.ok) return;
    fmt::print(stderr, "omig-host: {} could not go home: {}\n", guest->home_pid, report.reason);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // a pause before it tries its call again
    on_tracer([&] { unfreeze(*guest); });
  }).detach();
}

}  // namespace omig::host
