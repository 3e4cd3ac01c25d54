// SPDX-License-Identifier: Apache-2.0
// The way home, step by step, as calls and frames on the deputies' own links. Everything that prepare() does can be
// taken back: until go() the guest may go on where it is.
//
// Home may have an image from which the program could go on should this node be lost. Then nothing is done there at
// once: all of it is staged (preload/engine/stage.cpp), results are not known, and declare() has it carried out.
#pragma once

#include <errno.h>
#include <fmt/format.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "homed/host/advice.h"
#include "homed/host/visit.h"
#include "lib/image/layout.h"
#include "lib/image/sigframe.h"

namespace omig::host {

inline constexpr milliseconds kQuick{5000};  // what a healthy deputy needs for an answer, many times over

inline i64 clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return t.tv_sec * 1'000'000'000ll + t.tv_nsec;
}

class Homecoming {
 public:
  Homecoming(Visit& visit, Guest& guest, const image::Image& image) : visit_(visit), guest_(guest), image_(image) {
    for (const auto& t : visit.threads_of(guest)) by_home_tid_[t->home_tid] = t;
    lead_ = by_home_tid_.at(image.threads.front().tid);
    staging_ = guest.stages && visit.protection_of(guest).count() != 0;
  }

  bool prepare(std::string* reason, PageStatistics* statistics) {
    if (bring_memory(reason, statistics) && hand_over_state(reason)) return true;
    if (staging_) send_frame(lead_->link, wire::Type::stage, ++lead_->seq);  // of nothing: what has come is dropped
    guest_.home_copy = {};  // home may have half of it
    return false;
  }

  // After prepare(): it is an image from which the program can go on at home.
  bool declare(std::string* reason) {
    const long result = visit_.declare_image(guest_, image_.header.actions[wire::kAbortSignal - 1]);
    staging_ = false;
    if (result == 0) return true;
    guest_.home_copy = {};
    if (result == -EFBIG) guest_.stages = false;  // the program's own limit for files: from now on in place
    return result == -EPIPE ? broken(reason) : failed(reason, "its image", result);
  }

  // Of one that goes, between prepare() and go(): should this node be lost now, it goes on from what was prepared.
  bool settle(const std::string& why, std::string* reason) {
    if (!staging_) return true;
    take_leave(why);
    return declare(reason);
  }

  // After prepare(): what home maps.
  const std::vector<image::Vma>& layout() const { return plan_.result; }

  // The last word: from here on the guest never runs again.
  // `why`: it comes by itself, kept for those who ask (omctl why); empty: it was told to.
  void go(const std::string& why) {
    if (!taken_leave_) take_leave(why);
    queue_pending();
    std::map<GuestThread*, u64> seqs;
    for (auto& [tid, t] : by_home_tid_) {
      const u64 seq = seqs[t.get()] = ++t->seq;
      send_frame(t->link, wire::Type::go, seq, &image_.header.actions[wire::kAbortSignal - 1],
                 sizeof(wire::KernelSigaction));
    }
    for (auto& [t, seq] : seqs) {
      wire::Reply reply;
      receive_reply_within(t->link, seq, &reply, kQuick);
    }
  }

 private:
  bool broken(std::string* reason) {
    *reason = "the link to its home broke";
    return false;
  }

  void take_leave(const std::string& why) {
    std::vector<u8> text(kPageHeadroom + sizeof(Anchor::came_home_for));
    why.copy(reinterpret_cast<char*>(text.data() + kPageHeadroom), sizeof(Anchor::came_home_for) - 1);
    write_home(kAnchorAddress + offsetof(Anchor, came_home_for), std::span(text).subspan(kPageHeadroom));
    for (const image::Pin& p : guest_.pins) {
      if (p.aside()) call(SYS_munmap, {p.address, p.bytes});
    }
    taken_leave_ = true;
  }

  enum class Result { matters, does_not_matter };
  // Its result; 0 if it is staged.
  long call(u32 nr, std::initializer_list<u64> args, std::span<const u8> input = {},
            std::span<const wire::Reloc> relocs = {}, Result result = Result::matters) {
    if (!staging_) return visit_.home_call(*lead_, nr, args, input, relocs);
    u64 six[6] = {};
    std::copy(args.begin(), args.end(), six);
    syscalls::Prepared prepared;
    syscalls::build_call(nr, six, input, relocs, {}, static_cast<u32>(input.size()), &prepared);
    prepared.frame().seq = ++lead_->seq;
    const wire::Staged staged{lead_->slot, result == Result::does_not_matter ? 1u : 0u};
    return stage(staged, prepared.message) ? 0 : -EPIPE;
  }

  // Advice, and the like.
  void try_call(u32 nr, std::initializer_list<u64> args) { call(nr, args, {}, {}, Result::does_not_matter); }

  bool stage(const wire::Staged& staged, std::span<const u8> frame) {
    const wire::Frame head{wire::Type::stage, static_cast<u32>(sizeof staged + frame.size()), ++lead_->seq};
    std::vector<u8> whole(sizeof head + sizeof staged + frame.size());
    memcpy(whole.data(), &head, sizeof head);
    memcpy(whole.data() + sizeof head, &staged, sizeof staged);
    memcpy(whole.data() + sizeof head + sizeof staged, frame.data(), frame.size());
    return lead_->link.send(whole.data(), whole.size());
  }

  bool bring_memory(std::string* reason, PageStatistics* statistics) {
    plan_ = image::plan_layout(guest_.home_vmas, image_.vmas, guest_.pins);
    for (const image::Edit& e : plan_.edits) {
      if (e.kind != image::EditKind::protect && e.kind != image::EditKind::advise)
        guest_.home_copy.forget(Range(e.start, e.start + e.bytes));
    }
    if (guest_.home_dirty) discard();
    guest_.home_dirty = true;
    return return_segments(reason, statistics) && edit(reason) && send_memory(reason, statistics) && protect(reason) &&
           set_memory_map(reason) && set_actions(reason);
  }

  bool failed(std::string* reason, const char* what, long error) {
    *reason = fmt::format("home cannot take it back: {}: {}", what, strerror(static_cast<int>(-error)));
    return false;
  }

  // What an older image or attempt has left, unless it is known to be as it is here.
  void discard() {
    for (const image::Vma& v : guest_.home_vmas) {
      if (v.kind != image::VmaKind::anonymous && v.kind != image::VmaKind::file) continue;
      if ((v.flags & (image::kSharedReadOnly | image::kSegment)) != 0) continue;
      Ranges unknown;
      unknown += Range(v.start, v.end);
      unknown -= guest_.home_copy.areas;
      for (const Range& r : unknown) try_call(SYS_madvise, {r.lower(), r.upper() - r.lower(), MADV_DONTNEED});
    }
  }

  // Before the layout changes: home still maps all of them as it did when the program left.
  bool return_segments(std::string* reason, PageStatistics* statistics) {
    if (guest_.segments.empty()) return true;
    long error = 0;
    const auto access = [&](u64 added) {
      for (const image::Vma& v : guest_.home_vmas) {
        if (!is_writable_view(v) || (v.prot & PROT_WRITE) != 0 || error < 0) continue;
        error = call(SYS_mprotect, {v.start, v.bytes(), v.prot | added});
      }
      return error >= 0;
    };
    const PageSink sink = [&](u64 address, std::span<u8> bytes) { return write_home(address, bytes); };
    if (!access(PROT_READ | PROT_WRITE)) return failed(reason, "shared memory", error);
    if (!send_segments(guest_.home_vmas, image_.files, read_from(guest_.segments), sink, true, statistics))
      return broken(reason);
    return access(0) || failed(reason, "shared memory", error);
  }

  bool write_home(u64 address, std::span<u8> bytes) {
    // Home says now and then how far it is, so that a link that breaks meanwhile can be made again (sealed.h).
    constexpr u64 kUnheard = 8 << 20;
    if ((unheard_ += bytes.size()) >= kUnheard) {
      unheard_ = 0;
      visit_.home_call(*lead_, SYS_getpid, {});
    }
    struct Head {
      wire::Frame stage;
      wire::Staged staged;
      wire::Frame write;
      u64 address;
    };
    static_assert(sizeof(Head) == 48 && sizeof(Head) <= kPageHeadroom, "as it is sent");
    Head head{
        {}, {lead_->slot}, {wire::Type::write_memory, static_cast<u32>(sizeof address + bytes.size()), 0}, address};
    head.write.seq = ++lead_->seq;
    head.stage = {wire::Type::stage, static_cast<u32>(sizeof head - sizeof head.stage + bytes.size()), ++lead_->seq};
    u8* const at = bytes.data() - sizeof head;
    memcpy(at, &head, sizeof head);
    const size_t skipped = staging_ ? 0 : offsetof(Head, write);
    return lead_->link.send(at + skipped, sizeof head - skipped + bytes.size());
  }

  bool edit(std::string* reason) {
    for (const image::Edit& e : plan_.edits) {
      long result = 0;
      if (e.kind == image::EditKind::unmap) {
        result = call(SYS_munmap, {e.start, e.bytes});
      } else if (e.kind == image::EditKind::map_anonymous) {
        const u64 flags =
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | ((e.flags & image::kGrowsDown) != 0 ? MAP_GROWSDOWN : 0);
        const u64 reservation = staging_ ? u64{MAP_NORESERVE} : reservation_of(e.bytes);
        result = call(SYS_mmap, {e.start, e.bytes, PROT_READ | PROT_WRITE, flags | reservation, ~0ull, 0});
        if (result == -ENOMEM)
          result = call(SYS_mmap, {e.start, e.bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, ~0ull, 0});
        if (result >= 0) result = 0;
        if ((e.prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) != (PROT_READ | PROT_WRITE))
          reprotect_.push_back({e.start, e.bytes, e.prot});
      } else if (e.kind == image::EditKind::map_pin) {
        if (e.from != e.start)
          result = call(SYS_mremap, {e.from, e.bytes, e.bytes, MREMAP_MAYMOVE | MREMAP_FIXED, e.start});
        if (result >= 0) {
          result = 0;
          guest_.pins = image::moved_pin(guest_.pins, e.from, e.bytes, e.start);
          reprotect_.push_back({e.start, e.bytes, e.prot});
        }
      } else if (e.kind == image::EditKind::advise) {
        for (const Advice& a : kAdvices) {
          const bool wanted = (e.flags & a.flag) != 0;
          if (wanted != ((e.from & a.flag) != 0)) try_call(SYS_madvise, {e.start, e.bytes, wanted ? a.on : a.off});
        }
      } else if (e.kind == image::EditKind::view_segment) {
        // Of nothing: a second view of shared memory (mremap(2)).
        result = call(SYS_mremap, {e.from, 0, e.bytes, MREMAP_MAYMOVE | MREMAP_FIXED, e.start});
        if (result >= 0) {
          result = 0;
          reprotect_.push_back({e.start, e.bytes, e.prot});
        }
      } else {
        reprotect_.push_back({e.start, e.bytes, e.prot});
      }
      if (result < 0) return failed(reason, "memory layout", result);
    }
    return true;
  }

  bool send_memory(std::string* reason, PageStatistics* statistics) {
    std::vector<bool> there(guest_.files.files().size(), true);
    for (const Preparation& p : preparations(guest_.pid, plan_.result)) fresh_ += Range(p.used_start, p.used_end);
    fresh_ -= guest_.home_copy.areas;
    size_t at = 0;
    long error = 0;
    const PageSink sink = [&](u64 address, std::span<u8> bytes) {
      while (at < plan_.result.size() && plan_.result[at].end <= address) ++at;
      if (at < plan_.result.size() && opened_ != plan_.result[at].start && writable_first(plan_.result[at], &error) < 0)
        return false;
      if (at < plan_.result.size()) take_memory(address, plan_.result[at].end);
      return write_home(address, bytes);
    };
    const u64 kept_from = page_down(guest_.header.mm.arg_start), kept_to = page_up(guest_.header.mm.env_end);
    const PageRequest request{plan_.result, there, Range(kept_from, kept_to), &guest_.home_copy.pages};
    // Home's old guards would refuse the bytes.
    for (const image::Vma& v : plan_.result) {
      if (image_.header.advised != 0 && v.kind == image::VmaKind::anonymous)
        try_call(SYS_madvise, {v.start, v.bytes(), kMadvGuardRemove});
    }
    Ranges guards, gone;
    if (!send_pages(guest_.pid, request, sink, statistics, &guards, &gone))
      return error < 0 ? failed(reason, "memory protection", error) : broken(reason);
    for (const Range& r : guards) try_call(SYS_madvise, {r.lower(), r.upper() - r.lower(), kMadvGuardInstall});
    return take_back(gone, reason);
  }

  // What home has of an older image and the guest has given up since.
  bool take_back(const Ranges& gone, std::string* reason) {
    for (const image::Vma& v : plan_.result) {
      Ranges here;
      boost::icl::add_intersection(here, gone, Range(v.start, v.end));
      for (const Range& r : here) {
        const long error = call(SYS_madvise, {r.lower(), r.upper() - r.lower(), MADV_DONTNEED});
        if (error < 0) return failed(reason, "memory", error);
      }
    }
    return true;
  }

  // Home gave its memory back. It is taken again in large steps: a fault for each page costs more than its bytes.
  void take_memory(u64 address, u64 mapping_end) {
    constexpr u64 kStep = 32 << 20, kPopulateWrite = 23;  // MADV_POPULATE_WRITE, Linux 5.14; without it: page by page
    if (!boost::icl::contains(fresh_, address)) return;
    const Range step(address, std::min(address + kStep, mapping_end));
    Ranges now;
    boost::icl::add_intersection(now, fresh_, step);
    for (const Range& r : now) try_call(SYS_madvise, {r.lower(), r.upper() - r.lower(), kPopulateWrite});
    fresh_ -= step;
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

  // The guest's signals are older than those of the same number that have waited at home since the ear was silenced,
  // and more may come at any moment. The kernel takes a thread's own signals before the process': so each is given to a
  // thread that does not block it. Where all threads do, it waits for all of them as it did.
  void queue_pending() {
    for (const image::Pending& pending : image_.pending) {
      i32 signal = 0;
      memcpy(&signal, pending.siginfo, sizeof signal);
      queue(pending, signal, pending.tid != 0 ? pending.tid : taker_of(signal));
    }
  }

  i32 taker_of(i32 signal) const {
    for (const image::Thread& thread : image_.threads) {
      if (image_.threads.size() == 1 || (thread.sigmask & (1ull << (signal - 1))) == 0) return thread.tid;
    }
    return 0;
  }

  // By the receiving thread itself: only to oneself may a siginfo say that it comes from the kernel.
  void queue(const image::Pending& pending, i32 signal, i32 tid) {
    const std::span<const u8> info(pending.siginfo, sizeof pending.siginfo);
    const u64 pid = static_cast<u64>(guest_.home_pid), number = static_cast<u64>(signal);
    if (tid == 0) {
      const wire::Reloc reloc{2, 0};
      call(SYS_rt_sigqueueinfo, {pid, number, 0}, info, {&reloc, 1});
    } else if (const auto receiver = by_home_tid_.find(tid); receiver != by_home_tid_.end()) {
      const wire::Reloc reloc{3, 0};
      visit_.home_call(*receiver->second, SYS_rt_tgsigqueueinfo, {pid, static_cast<u64>(tid), number, 0}, info,
                       {&reloc, 1});
    }
  }

  bool hand_over_state(std::string* reason) {
    std::map<GuestThread*, u64> seqs;
    for (const image::Thread& original : image_.threads) {
      const auto& t = by_home_tid_.at(original.tid);
      image::Thread thread = original;
      const Rest rest = rest_at_home(*t, &thread);
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
      state.cut_short = thread.cut_short;
      state.done_bytes = thread.done_bytes;
      state.rest_deadline_ns = rest.deadline_ns;
      state.rest_original = rest.original;
      state.rest_how = static_cast<u32>(rest.how);
      state.rest_argument = rest.argument;
      std::vector<u8> body(sizeof state + frame.size());
      memcpy(body.data(), &state, sizeof state);
      memcpy(body.data() + sizeof state, frame.data(), frame.size());
      if (staging_) {
        if (!stage_state(*t, body)) return broken(reason);
        continue;
      }
      const u64 seq = seqs[t.get()] = ++t->seq;
      if (!send_frame(t->link, wire::Type::resume_state, seq, body.data(), body.size())) return broken(reason);
    }
    for (auto& [t, seq] : seqs) {
      wire::Reply reply;
      std::vector<u8> ignored;
      if (!receive_reply(t->link, seq, &reply, &ignored)) return broken(reason);
      if (reply.ret < 0) return failed(reason, "thread state", reply.ret);
    }
    return true;
  }

  bool stage_state(const GuestThread& t, std::span<const u8> state) {
    const wire::Frame frame{wire::Type::resume_state, static_cast<u32>(state.size()), ++lead_->seq};
    std::vector<u8> whole(sizeof frame + state.size());
    memcpy(whole.data(), &frame, sizeof frame);
    memcpy(whole.data() + sizeof frame, state.data(), state.size());
    return stage({t.slot}, whole);
  }

  // A wait cut short by the freeze is issued again by the thread itself at home: its registers must name the rest only.
  Rest rest_at_home(GuestThread& t, image::Thread* thread) const {
    Rest rest{};
    const user_regs_struct& r = thread->regs;
    const std::array<u64, 4> call_now{r.rax, r.rdi, r.rsi, r.rdx};
    if (call_now != t.sleep_call) return rest;
    const u64 now = static_cast<u64>(clock_ns(CLOCK_MONOTONIC) + visit_.options_.monotonic_offset_ns);
    wait_for_the_rest(thread, now, slot_address(t.slot) + kSlotRest, &rest);
    return rest;
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
  bool staging_ = false;      // what is said to home is staged there
  bool taken_leave_ = false;  // home has the reason, and nothing lies aside
  u64 opened_ = ~0ull;
  u64 unheard_ = 0;  // bytes since home has said something
  Ranges fresh_;
};

}  // namespace omig::host
