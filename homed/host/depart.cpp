// SPDX-License-Identifier: Apache-2.0
// Leaving home.
//
// Order matters here, for every line is a place where anybody may die:
//   1. ask the target, offer the files that are mapped (it looks which it has), it prepares an empty guest;
//   2. freeze every thread with ptrace, capture registers, map anchor and slots, stream the image;
//   3. the target answers "ready": everything is in place there, nothing runs;
//   4. divert every thread to the engine and detach: from here on the engine decides (docs/PROTOCOL.md). Each thread
//   links
//      to the target; the target says `running` and the threads become deputies, or they go on as if nothing had been.
// Until 4 this process' death detaches the program unharmed; after it this process is not needed any more.
#include "homed/host/depart.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <cstring>
#include <thread>

#include "homed/host/fault.h"
#include "homed/host/inject.h"
#include "homed/host/proc.h"
#include "homed/host/usage.h"
#include "homed/reasons.h"
#include "lib/abi/userfaultfd.h"
#include "lib/cluster/job.h"
#include "lib/image/sigframe.h"
#include "lib/image/xsave.h"
#include "lib/wire/versions.h"

namespace omig::host {
namespace {

using Clock = std::chrono::steady_clock;
constexpr milliseconds kShipTimeout{60'000};
constexpr milliseconds kLastWords{2'000};  // of a node that may be short of everything
// Where the mover writes in the engine's private words (preload/engine/state.h, struct Private).
constexpr size_t kPrivatePhase = 0, kPrivateLeaderSlot = 1, kPrivateThreads = 5, kPrivateExcluded = 20;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

i64 clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return t.tv_sec * 1'000'000'000ll + t.tv_nsec;
}

}  // namespace

nlohmann::json MoveReport::to_json() const {
  if (!ok) return {{"ok", false}, {"reason", reason}};
  return {{"ok", true},     {"freeze_ms", freeze_ms}, {"total_ms", total_ms},
          {"bytes", bytes}, {"ahead_ms", ahead_ms},   {"ahead_bytes", ahead_bytes}};
}

bool MoveConversation::answer(nlohmann::json* json, milliseconds timeout, std::string* reason) {
  auto message = peer_.receive(kMaxMessageBytes, timeout);
  if (!message) {
    *reason = fmt::format("{} broke off the move", node_);
    return false;
  }
  try {
    if (!message->value("ok", false)) {
      *reason = message->value("reason", fmt::format("{} refused", node_));
      return false;
    }
  } catch (const nlohmann::json::exception&) {  // no object, or fields of another type than ours
    *reason = fmt::format("{} answered nonsense", node_);
    return false;
  }
  *json = std::move(*message);
  return true;
}

bool MoveConversation::open(const Endpoint& to, const std::string& node, const Ticket& ticket,
                            const nlohmann::json& request, FileCatalogue& catalogue,
                            std::vector<Preparation> preparations, std::string* reason) {
  const std::vector<image::File> files = catalogue.files();
  node_ = node;
  prepared_ = std::move(preparations);
  std::string error;
  peer_ = Conversation::call(to, ticket, milliseconds(3000), &error);
  if (!peer_) {
    *reason = fmt::format("cannot reach {} at {}: {}", node, to.text(), error);
    return false;
  }
  nlohmann::json reply;
  if (!peer_.send(request) ||
      !peer_.send({{"files", files_to_json(files)}, {"prepare", preparations_to_json(prepared_)}})) {
    *reason = fmt::format("{} broke off the move", node);
    return false;
  }
  if (!answer(&reply, kShipTimeout, reason)) return false;
  if (const auto wanted = reply.find("send"); wanted != reply.end()) {
    if (!send_files(*wanted, files, catalogue, reason) || !answer(&reply, kShipTimeout, reason)) return false;
  }
  const auto endpoint = Endpoint::parse(reply.value("address", ""), 1);
  port = reply.value("port", u16{0});
  if (!endpoint || port == 0 || !hex_decode(reply.value("token", ""), token.data(), token.size())) {
    *reason = fmt::format("{} answered nonsense", node);
    return false;
  }
  address = endpoint->address;
  files_there_.assign(files.size(), false);
  const auto there = reply.find("files");
  for (size_t i = 0; there != reply.end() && i < files_there_.size() && i < there->size(); ++i) {
    files_there_[i] = (*there)[i].is_number() && (*there)[i].get<int>() != 0;
  }
  return true;
}

// Files that the target has not got, as numbers into `files`.
bool MoveConversation::send_files(const nlohmann::json& wanted, std::span<const image::File> files,
                                  FileCatalogue& catalogue, std::string* reason) {
  for (const auto& number : wanted) {
    const size_t i = number.is_number_unsigned() ? number.get<size_t>() : files.size();
    if (i >= files.size()) {
      *reason = fmt::format("{} answered nonsense", node_);
      return false;
    }
    const Fd fd = FileCatalogue::can_be_sent(files[i]) ? catalogue.open_same(files[i]) : Fd();
    if (!send_file(peer_, fd.get(), files[i])) {
      *reason = fmt::format("{} broke off the move", node_);
      return false;
    }
  }
  return true;
}

bool MoveConversation::send_run(u64 address, std::span<u8> bytes) {
  const image::PageRun run{address, bytes.size()};
  static_assert(sizeof run <= kPageHeadroom);
  u8* head = bytes.data() - sizeof run;
  memcpy(head, &run, sizeof run);
  return peer_.write(head, sizeof run + bytes.size(), kShipTimeout);
}

bool MoveConversation::send_ahead(pid_t pid, WriteTracker tracker, std::string* reason, PageStatistics* statistics) {
  ahead_.emplace(pid, std::move(tracker));
  const image::PageRun end{};
  const PageSink sink = [this](u64 address_of, std::span<u8> bytes) { return send_run(address_of, bytes); };
  if (!ahead_->send(sink, statistics) || !peer_.write(&end, sizeof end)) {
    nlohmann::json last_words;
    if (answer(&last_words, kLastWords, reason)) *reason = fmt::format("{} broke off the move", node_);
    return false;
  }
  nlohmann::json placed;
  return answer(&placed, kShipTimeout, reason);
}

bool MoveConversation::ship(pid_t pid, const image::Image& image, const SegmentReader& segments, std::string* reason,
                            PageStatistics* statistics) {
  const auto lost = [&] {
    nlohmann::json last_words;  // it may have said why before it broke off
    if (answer(&last_words, kLastWords, reason)) *reason = fmt::format("{} broke off while the image was sent", node_);
    return false;
  };
  if (!send_image(peer_, image)) return lost();
  fault_point("image-sent");
  const PageSink sink = [this](u64 address_of, std::span<u8> bytes) { return send_run(address_of, bytes); };
  const PageSink segment_sink = [this](u64 address_of, std::span<u8> bytes) {
    return send_run(address_of | image::kRunSegment, bytes);
  };
  const auto& views = image.home_vmas.empty() ? image.vmas : image.home_vmas;
  if (!send_segments(views, image.files, segments, segment_sink, false, statistics)) return lost();
  const Ranges there = ahead_->sent() & kept(prepared_, image.vmas);
  Ranges gone, guards;
  const PageRequest request{.vmas = image.vmas, .files_there = files_there_, .ahead = &there};
  if (!send_pages(pid, request, sink, statistics, &guards, &gone)) return lost();
  std::vector<image::PageRun> last;
  for (const Range& range : guards) last.push_back({range.lower() | image::kRunGuard, range.upper() - range.lower()});
  for (const Range& range : gone) last.push_back({range.lower() | image::kRunGone, range.upper() - range.lower()});
  last.push_back({});
  if (!peer_.write(last.data(), last.size() * sizeof(image::PageRun))) return lost();
  fault_point("pages-sent");
  nlohmann::json ready;
  return answer(&ready, kShipTimeout, reason);
}

bool MoveConversation::wait_committed(std::string* reason) {
  nlohmann::json reply;
  return answer(&reply, kShipTimeout, reason);
}

namespace {

constexpr const char* kMappedMeanwhile = "busy: it has just mapped a file, try again";

class Departure {
 public:
  Departure(const DepartOptions& options, bool last_attempt)
      : options_(options), last_attempt_(last_attempt), files_(options.state_dir) {}

  MoveReport run() {
    const auto start = Clock::now();
    MoveReport report;
    report.ok = prepare(&report.reason) && leave(&report);
    report.total_ms = ms_since(start);
    report.bytes = statistics_.bytes;
    return report;
  }

 private:
  bool held() const { return cluster::job_from(options_.job).held; }

  bool prepare(std::string* reason) {
    if (auto why = why_stays(options_.pid, {.held = held()}, &facts_)) {
      *reason = *why;
      return false;
    }
    u64 magic = 0;
    if (!read_memory(options_.pid, kEngineHeadAddress, &magic, sizeof magic) && !inject_engine(options_.pid, reason))
      return false;
    if (!read_memory(options_.pid, kEngineHeadAddress, &head_, sizeof head_)) {  // it was there just now
      *reason = kAnotherProgram;
      return false;
    }
    if ((head_.magic & kEngineHeadMarkMask) != kEngineHeadMark) {
      *reason = "something else is mapped where the engine belongs";
      return false;
    }
    if (!wire::kSpoken.has(version_of(head_))) {
      *reason = fmt::format("it was started under another version of omig ({}, this is {}): it stays until it ends",
                            version_of(head_), wire::kVersion);
      return false;
    }
    const Mappings before = read_mappings(options_.pid, &files_, facts_);
    if (!before.refusal.empty()) {
      *reason = before.refusal;
      return false;
    }
    offered_ = files_.files();
    const nlohmann::json request = {{"op", "move"},
                                    {"pid", options_.pid},
                                    {"home", options_.home_name},
                                    {"version", version_of(head_)},
                                    {"cpu_flags", cpu_flags()},
                                    {"xsave", image::xsave_layout()},
                                    {"vdso", vdso_sha256()},
                                    {"rss_bytes", rss_bytes(options_.pid)},
                                    {"threads", read_tasks(options_.pid).size()},
                                    {"monotonic_ns", clock_ns(CLOCK_MONOTONIC)},
                                    {"boottime_ns", clock_ns(CLOCK_BOOTTIME)},
                                    {"boot_id", read_file("/proc/sys/kernel/random/boot_id", 64)},
                                    {"uid", owner_of(options_.pid)},
                                    {"moves", moves_so_far()},
                                    {"job", options_.job},
                                    {"command", read_file(fmt::format("/proc/{}/comm", options_.pid), 64)}};
    return conversation_.open(options_.to, options_.node, options_.ticket, request, files_,
                              preparations(options_.pid, before.vmas), reason);
  }

  // The target has made room for a segment as it was offered.
  bool became_larger(const image::Vma& vma) const {
    if ((vma.flags & image::kSegment) == 0 || vma.file < 0) return false;
    const image::File &then = offered_[static_cast<size_t>(vma.file)],
                      &now = files_.files()[static_cast<size_t>(vma.file)];
    return then.segment != now.segment || then.size_bytes < now.size_bytes;
  }

  u32 moves_so_far() const {
    Anchor anchor;
    return read_memory(options_.pid, kAnchorAddress, &anchor, sizeof anchor) && anchor.magic == kAnchorMagic
               ? anchor.moves
               : 0;
  }

  // A process that has just come home may still be in the engine's last instructions: it gets out of them by itself.
  bool freeze_and_capture(std::string* reason) {
    for (int attempt = 0; attempt < 50; ++attempt) {
      if (!process_.freeze(options_.pid, kFreezeLimit, reason)) return false;
      if (process_.capture(head_, reason)) return true;
      process_.release();
      if (*reason != kComingHome) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  bool same_program(std::string* reason) const {
    EngineHead head{};
    if (read_memory(options_.pid, kEngineHeadAddress, &head, sizeof head) && memcmp(&head, &head_, sizeof head) == 0)
      return true;
    *reason = kAnotherProgram;
    return false;
  }

  // Where that does not work all its memory travels while it is frozen.
  WriteTracker track_writes() {
    WriteTracker tracker;
    std::string ignored;
    if (conversation_.prepared().empty() || !freeze_and_capture(&ignored)) return tracker;
    const Fd process(static_cast<int>(syscall(SYS_pidfd_open, options_.pid, 0)));
    const long fd = same_program(&ignored)
                        ? process_.inject(head_.home_gadget, SYS_userfaultfd, {O_CLOEXEC | abi::kUffdUserModeOnly})
                        : -1;
    if (fd >= 0) {
      tracker.userfaultfd = Fd(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), static_cast<int>(fd), 0)));
      process_.inject(head_.home_gadget, SYS_close, {static_cast<u64>(fd)});
      tracker.start(options_.pid, areas_of(conversation_.prepared()));
    }
    process_.release();
    return tracker;
  }

  bool leave(MoveReport* report) {
    std::string* reason = &report->reason;
    const auto started_at = Clock::now();
    WriteTracker tracker = track_writes();
    fault_point("tracked");
    if (!conversation_.send_ahead(options_.pid, std::move(tracker), reason, &statistics_)) return false;
    report->ahead_ms = ms_since(started_at);
    report->ahead_bytes = statistics_.bytes;
    fault_point("before-freeze");
    const auto frozen_at = Clock::now();
    if (!freeze_and_capture(reason)) return false;
    fault_point("frozen");
    if (auto why = why_stays(options_.pid, {.ignore_tracer = true, .held = held()}, &facts_)) {
      *reason = *why;
      return false;
    }
    if (!same_program(reason) || !map_engine_memory(reason) || !timers_can_leave(reason) || !make_image(reason))
      return false;
    if (!conversation_.ship(options_.pid, image_, read_from_process(options_.pid), reason, &statistics_)) return false;
    if (!write_engine_memory(reason)) return false;
    fault_point("before-divert");
    for (size_t i = 0; i < process_.threads().size(); ++i) {
      if (!process_.divert(i, head_.depart_entry, i, slot_address(static_cast<u32>(i)) + kSlotStackTop - 8)) {
        *reason = "it ended";
        return false;
      }
    }
    process_.release();
    fault_point("after-divert");
    const bool committed = conversation_.wait_committed(reason);
    report->freeze_ms = ms_since(frozen_at);
    return committed;
  }

  bool map_engine_memory(std::string* reason) {
    bool anchor_there = false;
    std::vector<bool> slot_there(process_.threads().size());
    for (const MapsLine& line : read_maps(options_.pid)) {
      if (line.start <= kAnchorAddress && line.end > kAnchorAddress) anchor_there = true;
      for (size_t i = 0; i < slot_there.size(); ++i) {
        const u64 at = slot_address(static_cast<u32>(i));
        if (line.start <= at && line.end > at) slot_there[i] = true;
      }
    }
    const auto map = [&](u64 at, u64 bytes) {
      const long got = process_.inject(
          head_.home_gadget, SYS_mmap,
          {at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0});
      if (got == static_cast<long>(at)) return true;
      *reason = fmt::format("cannot map {} bytes at {:x} in it: {}", bytes, at, strerror(static_cast<int>(-got)));
      return false;
    };
    if (!anchor_there && !map(kAnchorAddress, kPageSize)) return false;
    // Before they are mapped: should this move break, the next one knows whose they are, however many threads it finds.
    Anchor anchor;
    const bool left_once =
        read_memory(options_.pid, kAnchorAddress, &anchor, sizeof anchor) && anchor.magic == kAnchorMagic;
    if (!left_once) anchor = Anchor{};
    anchor.slots_used = std::max<u32>(anchor.slots_used, static_cast<u32>(slot_there.size()));
    if (!write_memory(options_.pid, kAnchorAddress, &anchor, sizeof anchor)) {
      *reason = "it ended";
      return false;
    }
    for (size_t i = 0; i < slot_there.size(); ++i) {
      if (!slot_there[i] && !map(slot_address(static_cast<u32>(i)), kSlotMapped)) return false;
    }
    return true;
  }

  bool make_image(std::string* reason) {
    Mappings now = read_mappings(options_.pid, &files_, facts_);
    if (!now.refusal.empty()) {
      *reason = now.refusal;
      return false;
    }
    for (image::Vma& vma : now.vmas) {
      if (vma.file < static_cast<i32>(offered_.size()) && !became_larger(vma)) continue;
      if (!last_attempt_ || (vma.flags & image::kSegment) != 0) {
        *reason = kMappedMeanwhile;
        return false;
      }
      vma.kind = image::VmaKind::anonymous, vma.file = -1, vma.offset = 0;
    }
    const auto mm = read_mm(options_.pid);
    if (!mm) {
      *reason = "it ended";
      return false;
    }
    image::Header& h = image_.header;
    h.mm = *mm;
    if (const long brk = process_.inject(head_.home_gadget, SYS_brk, {0}); brk > 0) h.mm.brk = static_cast<u64>(brk);
    const std::string auxv = read_file(fmt::format("/proc/{}/auxv", options_.pid), sizeof h.auxv);
    memcpy(h.auxv, auxv.data(), std::min(auxv.size(), sizeof h.auxv));
    h.auxv_bytes = static_cast<u32>(std::min(auxv.size(), sizeof h.auxv));
    rlimit stack{};
    prlimit(options_.pid, RLIMIT_STACK, nullptr, &stack);
    h.stack_limit_bytes = stack.rlim_cur;
    h.monotonic_ns = clock_ns(CLOCK_MONOTONIC);
    h.boottime_ns = clock_ns(CLOCK_BOOTTIME);
    h.pid = options_.pid;
    const auto ledger = read_ledger(options_.state_dir, options_.pid);
    h.account = open_account(options_.pid, options_.state_dir, ledger);
    h.ear_excluded = signalfd_mask(options_.pid);
    for (const pid_t tid : process_.tids()) {
      for (const image::Pending& p : peek_pending(tid, tid, false)) image_.pending.push_back(p);
    }
    h.pending = static_cast<u32>(image_.pending.size());
    image_.vmas = std::move(now.vmas);
    h.advised = facts_.advised.empty() ? 0 : 1;
    image_.threads = process_.threads();
    for (image::Thread& t : image_.threads) t.shown = shown_at_home(options_.pid, t.tid, ledger);
    image_.files = files_.files();
    std::vector<FileIdentity> segments;
    for (const image::File& f : image_.files) {
      if (f.segment != image::File::Segment::no)
        segments.push_back({f.home_device, f.home_inode, name_of_file(f.path)});
    }
    if (!segments.empty()) image_.segment_fds = descriptors_of(options_.pid, segments);
    h.segment_fds = static_cast<u32>(image_.segment_fds.size());
    h.vmas = static_cast<u32>(image_.vmas.size());
    h.threads = static_cast<u32>(image_.threads.size());
    return true;
  }

  // Timers that count the process' CPU time or name a thread would count the deputy's. Its anchor page serves as a
  // buffer.
  bool timers_can_leave(std::string* reason) {
    for (const u64 which : {ITIMER_VIRTUAL, ITIMER_PROF}) {
      u64 timer[4] = {};
      const u64 buffer = kAnchorAddress + sizeof(Anchor);
      static_assert(sizeof(Anchor) + sizeof timer <= kPageSize);
      if (process_.inject(head_.home_gadget, SYS_getitimer, {which, buffer}) != 0 ||
          !read_memory(options_.pid, buffer, timer, sizeof timer))
        continue;
      if (timer[2] != 0 || timer[3] != 0) {
        *reason = "a timer of CPU time is armed (setitimer)";
        return false;
      }
    }
    const std::string timers = read_file(fmt::format("/proc/{}/timers", options_.pid));
    if (timers.find("/tid.") != std::string::npos) {
      *reason = "a timer is directed at one thread (timer_create)";
      return false;
    }
    if (timers.find("ClockID: -") != std::string::npos) {
      *reason = "a timer of CPU time exists (timer_create)";
      return false;
    }
    return true;
  }

  // Anchor and slots, so that the diverted threads know where to go and what to come back to.
  bool write_engine_memory(std::string* reason) {
    Anchor anchor;
    Anchor old;
    if (read_memory(options_.pid, kAnchorAddress, &old, sizeof old) && old.magic == kAnchorMagic) {
      anchor.moves = old.moves;
      anchor.slots_used = old.slots_used;
      memcpy(anchor.came_home_for, old.came_home_for, sizeof anchor.came_home_for);
    }
    const auto& threads = process_.threads();
    anchor.where =
        Where::home;  // until the engine says otherwise: if we die before the threads are diverted, it never left
    anchor.slots_used = std::max<u32>(anchor.slots_used, static_cast<u32>(threads.size()));
    options_.node.copy(anchor.node, sizeof anchor.node - 1);
    memcpy(anchor.host_address, conversation_.address.data(), 4);
    anchor.host_port = conversation_.port;
    anchor.patience_s = options_.patience_s;
    anchor.multipath = options_.multipath ? 1 : 0;
    memcpy(anchor.token, conversation_.token.data(), sizeof anchor.token);
    u32* words = reinterpret_cast<u32*>(anchor.engine_private);
    words[kPrivatePhase] = 0;
    words[kPrivateLeaderSlot] = 0;
    memcpy(words + kPrivateExcluded, &image_.header.ear_excluded, sizeof(u64));
    words[kPrivateThreads] = static_cast<u32>(threads.size());
    bool ok = write_memory(options_.pid, kAnchorAddress, &anchor, sizeof anchor);
    for (u32 i = 0; ok && i < threads.size(); ++i) {
      SlotBlock block{};
      image::Thread t = threads[i];
      Rest rest{};
      wait_for_the_rest(&t, static_cast<u64>(clock_ns(CLOCK_MONOTONIC)), slot_address(i) + kSlotRest, &rest);
      block.tid = t.tid;
      block.in_use = 1;
      block.rseq = t.rseq;
      block.rseq_bytes = t.rseq_bytes;
      block.rseq_signature = t.rseq_signature;
      block.robust_list = t.robust_list;
      block.robust_bytes = t.robust_bytes;
      block.cut_short = t.cut_short;
      block.done_bytes = t.done_bytes;
      block.link_fd = -1;
      block.slot = i;
      const std::vector<u8> frame = make_signal_frame(t, slot_address(i) + kSlotFrame);
      ok = frame.size() <= kFrameMaxBytes && write_memory(options_.pid, slot_address(i), &block, sizeof block) &&
           write_memory(options_.pid, slot_address(i) + kSlotRest, &rest, sizeof rest) &&
           write_memory(options_.pid, slot_address(i) + kSlotFrame, frame.data(), frame.size());
    }
    if (!ok) *reason = "cannot write the engine's memory in it";
    return ok;
  }

  const DepartOptions& options_;
  const bool last_attempt_;
  FileCatalogue files_;
  MemoryFacts facts_;
  std::vector<image::File> offered_;
  EngineHead head_{};
  MoveConversation conversation_;
  FrozenProcess process_;
  image::Image image_;
  PageStatistics statistics_;
};

}  // namespace

// A file that is mapped between the offer and the freeze (a program that is just starting) is offered in the next
// attempt. One that maps files all the time has the last one's bytes shipped as anonymous memory.
MoveReport depart(const DepartOptions& options) {
  for (u32 attempt = 1;; ++attempt) {
    MoveReport report = Departure(options, attempt == kMoveAttempts).run();
    if (report.ok || report.reason != kMappedMeanwhile) return report;
  }
}

}  // namespace omig::host
