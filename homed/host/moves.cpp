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
#include "homed/host/homecoming.h"
#include "homed/host/proc.h"
#include "homed/host/restore.h"
#include "homed/host/visit.h"
#include "lib/base/patience.h"
#include "lib/image/layout.h"
#include "lib/image/sigframe.h"
#include "lib/image/xsave.h"

namespace omig::host {
namespace {

double ms_since(SteadyClock::time_point start) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - start).count();
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
  Patience patience(std::chrono::milliseconds(20));
  patience.until([&](milliseconds) {
    bool waiting = false;
    {
      const std::lock_guard lock(mutex_);
      for (auto& [tid, t] : guest.threads) {
        const auto masks = read_masks(t->status.get());
        // Real-time signals keep their order among each other: those of a handler that runs just now are waited for,
        // too.
        constexpr u64 kRealTime = ~0ull << 33;
        waiting = waiting || (masks && ((masks->pending | masks->shared_pending) & (~masks->blocked | kRealTime)) != 0);
      }
    }
    if (waiting) std::this_thread::sleep_for(std::chrono::microseconds(200));
    return !waiting;
  });
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
    for (const auto& t : threads_of(guest)) {
      if (t->home_tid == p.tid)
        home_call(*t, SYS_rt_sigtimedwait, {0, 0, 0, 8}, {reinterpret_cast<const u8*>(input), sizeof input}, relocs);
    }
  }
}

// On the tracer thread, everything frozen. What only the threads themselves can tell is asked by injected calls;
// afterwards each has its normalised registers back and could go on.
bool Visit::capture_guest(Guest& guest, image::Image* image, std::string* reason) {
  std::vector<std::shared_ptr<GuestThread>> threads = threads_of(guest);
  std::sort(threads.begin(), threads.end(),
            [&](const auto& a, const auto& b) { return (a->tid == guest.pid) > (b->tid == guest.pid); });
  image->header = guest.header;
  image->header.actions_known = 1;
  image->header.ear_excluded = guest.ear_excluded;
  image->header.monotonic_ns = clock_ns(CLOCK_MONOTONIC) + options_.monotonic_offset_ns;
  image->header.boottime_ns = clock_ns(CLOCK_BOOTTIME) + options_.boottime_offset_ns;
  for (const auto& t : threads) {
    image::Thread thread;
    for (const image::Pending& p : decoded(peek_pending(t->tid, t->home_tid, false))) image->pending.push_back(p);
    if (!capture_thread(t->tid, &thread)) {
      *reason = "it ended";
      return false;
    }
    thread.tid = t->home_tid;
    if (t->fatal.si_signo != 0) {  // also where it blocks the signal: the kernel has forced it
      image::Pending& fatal = image->pending.emplace_back();
      fatal.tid = t->home_tid;
      memcpy(fatal.siginfo, &t->fatal, sizeof fatal.siginfo);
      thread.sigmask &= ~(1ull << (t->fatal.si_signo - 1));
    }
    const user_regs_struct& stop = thread.regs;
    note_wait_here(*t, stop);
    const u64 args[6] = {stop.rdi, stop.rsi, stop.rdx, stop.r10, stop.r8, stop.r9};
    // The kernel's code tells of its own calls; for those that home executes, and those not issued again yet, we know.
    // One that has ended, or whose handler is about to run, is over: its number still stands there.
    const bool interrupted = static_cast<long>(stop.rax) <= -512 && static_cast<long>(stop.rax) >= -516;
    const bool ours = static_cast<long>(stop.orig_rax) < 0
                          ? stop.rip == t->reissue_rip
                          : interrupted && syscalls::notified(static_cast<u32>(stop.orig_rax), args);
    normalise_restart(guest.pid, &thread, false);
    if (ours) thread.cut_short = t->cut.how, thread.done_bytes = t->cut.done_bytes;
    if (ours && t->cut.how != wire::CutShort::no) t->reissue_rip = thread.regs.rip;  // should it stay here after all
    if (t->sleep_deadline_ns != 0) {
      thread.sleep_deadline_ns = t->sleep_deadline_ns + static_cast<u64>(options_.monotonic_offset_ns);
    }
    thread.restart_at_home = t->restart_at_home ? 1 : 0;
    const image::CpuTime used = thread_cpu(guest.pid, t->tid);
    thread.shown = t->cpu.shown(used);
    thread.unrecorded = t->cpu.unrecorded(used);
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
    const CutCall cut = t->cut;  // one of these calls is notified, and so would be taken for the next of the program's
    hand_over();
    const long result = run_batch(t->tid, head_, ops);
    {
      const std::lock_guard lock(mutex_);
      t->cut = cut;
    }
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
    // The process' own come last, as the kernel takes them: at home both kinds may end in one queue.
    for (const image::Pending& p : decoded(peek_pending(guest.pid, 0, true))) image->pending.push_back(p);
    ignore_sigtrap_again(guest.pid, head_, image->header.actions[SIGTRAP - 1]);
    set_registers(guest.pid, image->threads.front().regs);
    set_mask(guest.pid, image->threads.front().sigmask);
  }
  const image::CpuTime used = process_cpu(guest.pid);
  image->header.account.shown = guest.cpu.shown(used);
  image->header.account.unrecorded = guest.cpu.unrecorded(used);
  const std::lock_guard files_lock(guest.files_mutex);
  MemoryFacts facts;
  if (image->header.advised != 0) facts.advised = advised_ranges(guest.pid);
  Mappings now = read_mappings(guest.pid, &guest.files, facts);
  if (!now.refusal.empty()) {
    *reason = now.refusal;
    return false;
  }
  image->vmas = std::move(now.vmas);
  image->home_vmas = guest.home_vmas;
  image->files = guest.files.files();
  image->pins = guest.pins;
  image->segment_fds.assign(guest.segment_fds.begin(), guest.segment_fds.end());
  image->header.segment_fds = static_cast<u32>(image->segment_fds.size());
  image->header.pins = static_cast<u32>(image->pins.size());
  image->header.vmas = static_cast<u32>(image->vmas.size());
  image->header.home_vmas = static_cast<u32>(image->home_vmas.size());
  image->header.threads = static_cast<u32>(image->threads.size());
  image->header.pending = static_cast<u32>(image->pending.size());
  return true;
}

std::optional<u64> Visit::halt(Guest& guest, image::Image* image, std::string* reason) {
  const u64 excluded = guest.ear_excluded;
  const bool ended = [&] {
    const std::lock_guard lock(mutex_);
    return guest.ending;
  }();
  if (ended) {
    *reason = "it has ended";
    return std::nullopt;
  }
  bool frozen = false, captured = false;
  if (silence(guest))
    on_tracer([&] { frozen = freeze(guest, reason); });
  else
    *reason = "the link to its home broke";
  if (frozen) on_tracer([&] { captured = capture_guest(guest, image, reason); });
  if (captured) return excluded;
  if (frozen)
    go_on_here(guest, excluded);
  else
    exclude(guest, excluded, kQuick);
  return std::nullopt;
}

// It lives elsewhere now.
void Visit::end_here(Guest& guest) {
  on_tracer([&] {
    const std::lock_guard lock(mutex_);
    guest.ending = guest.parted = true;
    kill(guest.pid, SIGKILL);
  });
}

void Visit::go_on_here(Guest& guest, u64 excluded) {
  exclude(guest, excluded, kQuick);
  on_tracer([&] { unfreeze(guest); });
}

void Visit::keep_or_discard_home_memory(bool complete) {
  Guest& guest = *guests_.begin()->second;
  if (protection_of(guest) == std::chrono::seconds(0) || !too_large_for_home(guest).empty())
    return discard_home_memory(guest);
  guest.home_dirty = true;
  note_writes(guest);
  if (complete) declare_image(guest, guest.header.actions[wire::kAbortSignal - 1]);
}

// One call per run of neighbouring mappings, all sent before the first answer is read.
void Visit::discard_home_memory(Guest& guest) {
  GuestThread& t = *guest.threads.at(guest.pid);
  const u64 keep_from = page_down(guest.header.mm.arg_start);  // ps at home still shows the command line
  std::vector<std::pair<u64, u64>> runs;
  for (const image::Vma& v : guest.home_vmas) {
    if ((v.kind != image::VmaKind::anonymous && v.kind != image::VmaKind::file) ||
        (v.flags & (image::kSharedReadOnly | image::kSegment)) != 0)
      continue;
    const u64 end = v.start <= keep_from && keep_from < v.end ? keep_from : v.end;
    if (!runs.empty() && runs.back().second == v.start) {
      runs.back().second = end;
    } else {
      runs.push_back({v.start, end});
    }
  }
  // Giving back much takes long (200 ms a GiB), and the program need not wait for that: whoever uses this link does. A
  // child that another thread forks meanwhile has some of it.
  const bool unanswered = rss_bytes(guest.pid) >= 32u << 20;
  guest.home_dirty = unanswered;
  std::vector<u64> seqs;
  for (const auto& [start, end] : runs) {
    const u64 args[6] = {start, end - start, MADV_DONTNEED, 0, 0, 0};
    syscalls::Prepared call;
    syscalls::build_call(SYS_madvise, args, {}, {}, {}, 0, &call);
    call.frame().seq = ++t.seq;
    u8* body = call.message.data() + sizeof(wire::Frame);
    wire::Call described;
    memcpy(&described, body, sizeof described);
    if (unanswered) described.flags |= wire::kCallUnanswered;
    memcpy(body, &described, sizeof described);
    seqs.push_back(t.seq);
    if (!t.link.send(call.message.data(), call.message.size())) break;
  }
  for (const u64 seq : seqs) {
    wire::Reply reply;
    std::vector<u8> ignored;
    if (unanswered || !receive_reply(t.link, seq, &reply, &ignored)) return;
  }
}

MoveReport Visit::go_home(std::shared_ptr<Guest> guest, const std::string& by_itself_for) {
  const std::lock_guard moving(moves_mutex_);
  const auto start = SteadyClock::now();
  MoveReport report;
  image::Image image;
  PageStatistics statistics;
  const std::optional<u64> excluded = halt(*guest, &image, &report.reason);
  if (!excluded) return report;
  fault_point("home-captured");
  Homecoming homecoming(*this, *guest, image);
  const bool ready =
      homecoming.prepare(&report.reason, &statistics) && homecoming.settle(by_itself_for, &report.reason);
  fault_point("home-prepared");
  if (!ready) {
    go_on_here(*guest, *excluded);
    return report;
  }
  {
    const std::lock_guard lock(mutex_);
    guest->coming_home = true;
  }
  close_account(*guest->threads.at(guest->pid));
  homecoming.go(by_itself_for);
  end_here(*guest);
  report.ok = true;
  report.freeze_ms = report.total_ms = ms_since(start);
  report.bytes = statistics.bytes;
  return report;
}

// What was mapped after the target was told of the files up to `offered` travels as memory: home need not keep it.
void Visit::drop_pins(Guest& guest, i32 offered) {
  GuestThread& any = *guest.threads.begin()->second;  // all stand still, and their deputies wait for calls
  std::erase_if(guest.pins, [&](const image::Pin& p) {
    const bool dropped = p.file >= offered;
    if (dropped && p.aside()) home_call(any, SYS_munmap, {p.address, p.bytes});
    return dropped;
  });
}

MoveReport Visit::go_on(std::shared_ptr<Guest> guest, const Target& to) {
  const std::lock_guard moving(moves_mutex_);
  const auto start = SteadyClock::now();
  MoveReport report;
  Mappings before;
  FileCatalogue offered(options_.state_dir);  // of its own: workers use the guest's meanwhile
  {
    const std::lock_guard files_lock(guest->files_mutex);
    before = read_mappings(guest->pid, &guest->files);
    for (const image::File& file : guest->files.files()) offered.adopt(file, std::nullopt);
  }
  if (!before.refusal.empty()) {
    report.reason = before.refusal;
    return report;
  }
  const std::string job = [&] {
    const std::lock_guard lock(mutex_);
    return guest->job;
  }();
  const nlohmann::json request = {
      {"op", "move"},
      {"pid", guest->home_pid},
      {"home", options_.home_name},
      {"version", options_.version},
      {"cpu_flags", cpu_flags()},
      {"xsave", image::xsave_layout()},
      {"vdso", vdso_sha256()},
      {"rss_bytes", rss_bytes(guest->pid)},
      {"threads", threads_of(*guest).size()},
      {"monotonic_ns", clock_ns(CLOCK_MONOTONIC) + options_.monotonic_offset_ns},
      {"boottime_ns", clock_ns(CLOCK_BOOTTIME) + options_.boottime_offset_ns},
      {"boot_id", options_.monotonic_offset_ns == 0 ? read_file("/proc/sys/kernel/random/boot_id", 64) : ""},
      {"uid", guest->home_uid},
      {"moves", options_.moves},
      {"job", job},
      {"command", guest->command}};
  MoveConversation conversation;
  if (!conversation.open(to.at, to.node, to.ticket, request, offered, preparations(guest->pid, before.vmas),
                         &report.reason))
    return report;

  PageStatistics statistics;
  if (!conversation.send_ahead(guest->pid, {}, &report.reason, &statistics)) return report;

  const auto frozen_at = SteadyClock::now();
  image::Image image;
  const std::optional<u64> excluded = halt(*guest, &image, &report.reason);
  if (!excluded) return report;
  for (image::Vma& v : image.vmas) {
    if (v.file >= static_cast<i32>(offered.files().size()))
      v.kind = image::VmaKind::anonymous, v.file = -1, v.offset = 0;
  }
  drop_pins(*guest, static_cast<i32>(offered.files().size()));
  image.pins = guest->pins;
  image.header.pins = static_cast<u32>(image.pins.size());
  fault_point("relay-captured");
  bool moved = conversation.ship(guest->pid, image, read_from(guest->segments), &report.reason, &statistics);
  if (moved) {
    {
      const std::lock_guard lock(mutex_);
      guest->coming_home = true;  // the ends of the links are expected
    }
    std::map<GuestThread*, u64> seqs;
    for (const auto& t : threads_of(*guest)) {
      wire::Relink relink;
      relink.port = conversation.port;
      relink.leader = t->home_tid == image.threads.front().tid ? 1 : 0;
      memcpy(relink.address, conversation.address.data(), 4);
      memcpy(relink.token, conversation.token.data(), sizeof relink.token);
      to.node.copy(relink.node, sizeof relink.node - 1);
      const u64 seq = seqs[t.get()] = ++t->seq;
      send_frame(t->link, wire::Type::relink, seq, &relink, sizeof relink);
    }
    for (auto& [t, seq] : seqs) {
      wire::Reply reply;
      std::vector<u8> ignored;
      if (receive_reply(t->link, seq, &reply, &ignored)) {  // it stays: the new host did not say `running`
        moved = false;
        report.reason = fmt::format("{} did not take over: {}", to.node, strerror(static_cast<int>(-reply.ret)));
      }
    }
  }
  if (!moved) {
    {
      const std::lock_guard lock(mutex_);
      guest->coming_home = false;
    }
    go_on_here(*guest, *excluded);
    return report;
  }
  std::string ignored;
  conversation.wait_committed(&ignored);
  end_here(*guest);
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
  std::thread([this, t, guest, notification, reason = std::move(reason)] {
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
    const MoveReport report = go_home(guest, reason);
    if (report.ok) return;
    fmt::print(stderr, "omig-host: {} could not go home: {}\n", guest->home_pid, report.reason);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // a pause before it tries its call again
    on_tracer([&] { unfreeze(*guest); });
  }).detach();
}

}  // namespace omig::host
