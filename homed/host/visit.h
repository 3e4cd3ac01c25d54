// SPDX-License-Identifier: Apache-2.0
// One visit: the guests that one omig-host serves (a program that arrived, and the children it forked since).
//
// Threads of the host, and what each may touch:
//   tracer    the process' first thread. Everything ptrace: stops, signals, freezes, batches. Others hand it work with
//   post() or
//             on_tracer(). It never waits for a deputy.
//   workers   receive notifications and serve them, blocking as long as home does (forward.cpp, special.cpp). A worker
//   that takes a call
//             makes sure another one is waiting for the next.
//   ears      one per guest process: reads the signals that arrive at home (signals.cpp).
//   movers    one per move in progress (moves.cpp); one move at a time.
//   doorway   accepts links and commanders (channel.cpp).
//
// One mutex guards who exists and who is in which call. Lock order: moves_mutex_, fork_mutex_, mutex_,
// then Guest::ear_mutex or Guest::files_mutex. Nobody blocks on a link, on a process or on the tracer while holding
// mutex_.
//
// State of a guest thread: running -> in a call (a worker holds its notification) -> aborting (the deputy was told to
// give up) -> running; any of them -> frozen (stopped for a move). See SIGNALS.md's machine.
#pragma once

#include <linux/seccomp.h>
#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>

#include "homed/host/cell.h"
#include "homed/host/channel.h"
#include "homed/host/depart.h"
#include "homed/host/segments.h"
#include "homed/host/source.h"
#include "homed/host/usage.h"
#include "lib/base/scheduling.h"
#include "lib/syscalls/marshal.h"

namespace omig::host {

using SteadyClock = std::chrono::steady_clock;

struct Guest;

// A call that a move cut short.
struct CutCall {
  wire::CutShort how = wire::CutShort::no;
  u64 done_bytes = 0;  // of a write, or a recv with MSG_WAITALL: the call goes on behind them, its result counts them
};

struct GuestThread {
  pid_t tid = 0;  // here
  i32 home_tid = 0;
  std::shared_ptr<Guest> guest;  // owned: a worker may still hold this thread when its guest is long gone
  u32 slot = 0;
  SealedLink link;
  Fd status;  // /proc/.../status, for the masks
  u64 seq = 0;

  // The call a worker is serving for this thread.
  bool in_call = false;
  bool abortable = false;
  bool aborting = false;
  u64 call_seq = 0;
  SteadyClock::time_point call_since{};
  std::optional<u64> temporary_mask;  // of ppoll and friends
  u64 temporary_mask_address = 0;
  // How the interrupted call is to continue, set when it is answered -ERESTARTSYS (SIGNALS.md R6, R7).
  bool eintr_ok = false;
  syscalls::Restart restart = syscalls::Restart::never;
  u64 sleep_deadline_ns = 0;  // CLOCK_MONOTONIC here; the next call with these arguments is its rest
  std::array<u64, 4> sleep_call{};
  bool restart_at_home = false;
  std::optional<SleepProbe> probe;  // a wait in the kernel here, as a freeze found it
  struct {
    bool active = false;  // the register has our pointer to the rest instead of the program's
    u32 argument = 0;
    u64 original = 0;
  } rest_call;
  // A move cut this call short: it is issued again from `reissue_rip`, and a signal that comes first ends it
  // (CutShort).
  CutCall cut;
  u64 reissue_rip = 0;

  // ptrace
  bool stopped = false;  // in a stop the tracer has not continued
  bool frozen = false;   // stopped for a move
  bool group_stopped = false;
  bool in_trace_stop = false;  // stopped before fork or clone; a job will continue it
  CpuMeter cpu;
  u64 siginfo_at = 0;            // executing sigtimedwait: where its siginfo goes, to be decoded at its end
  bool suspended_by_us = false;  // executing our rt_sigsuspend instead of its ppoll (signals.cpp)
  user_regs_struct saved_regs{};
  siginfo_t fatal{};  // it dies of this at home, where the core is written; si_signo 0: no

  // A child in the making: what the tracer gives the process or thread that is about to be born.
  struct Birth {
    i32 home_tid = 0;
    std::optional<Arrival> link, ear;
    bool thread = false;
    bool vfork = false;
    std::array<u64, 6> original_args{};
    u64 flags = 0;  // clone's, as they were arranged
    u64 sigmask = 0;
    std::shared_ptr<std::promise<bool>> born;
  };
  std::unique_ptr<Birth> birth;
};

struct Guest {
  i32 home_pid = 0;
  pid_t pid = 0;  // here
  std::map<pid_t, std::shared_ptr<GuestThread>> threads;
  std::shared_ptr<GuestThread> last_word;           // on whose link home was told of the common end
  std::vector<std::shared_ptr<GuestThread>> ended;  // kept for their links, until the deputy has closed its ends
  SealedLink ear;
  std::mutex ear_mutex;  // writes to the ear's link
  u64 ear_excluded = 0;
  u64 ear_seq = 0;
  u32 signals_seen = 0;  // seq of the last signal that the ear has sent: queued here
  std::map<u64, std::shared_ptr<std::promise<void>>> ear_acks;
  i32 ear_tid = 0;  // at home
  u32 guard_first = 0, guard_last = 0;
  u32 home_uid = 0;

  std::mutex files_mutex;  // workers add to it while a mover looks
  FileCatalogue files;
  std::vector<image::Pin> pins;
  u64 next_pin = kPinsAddress;
  std::vector<image::Vma> home_vmas;
  Segments segments;
  std::set<i32> segment_fds;  // under mutex_: home's descriptors of segments' files
  image::Header header;       // mm, auxv, limits as they were
  std::string command;
  std::string job;  // under mutex_: what its user said of it (lib/cluster/job.h); its node's homed reads it
  CpuMeter cpu;
  SteadyClock::time_point since = SteadyClock::now();
  std::atomic<u64> calls = 0;

  bool freezing = false;
  bool ending = false;      // its death is our doing: no `die` for the deputy
  bool stages = false;      // its deputy can keep an image until all of it has come
  bool home_dirty = false;  // home may have pages: an attempt to go there left them, or they are just given back
  // protect.cpp
  WriteTracker writes;
  HomeCopy home_copy;
  SteadyClock::time_point image_due{};         // at the latest
  SteadyClock::time_point image_affordable{};  // not before
  std::atomic<bool> past_image = false;        // it has done what must not be done twice since
  std::atomic<u64> effects = 0;                // calls that may have been that
  u64 effects_looked = 0;
  std::atomic<u64> image_bytes = 0, image_us = 0;  // of the last image: sent, and for how long it stood still
  std::string not_protected;                       // why, if the last attempt failed
  bool homes_stop = false;                         // it stops because homed said that home's process did
  int stop_to_tell = 0;    // a stop signal was delivered here: home's process must stop by this one
  u64 stop_seq = 0;        // the order to do so
  int vfork_children = 0;  // a parent in vfork cannot be stopped
  pid_t vfork_parent = 0;
  bool coming_home = false;
  bool dies_here = false;               // going home to leave a core has failed
  bool over = false, ear_over = false;  // when both, let_go() breaks the circle guest -> threads -> guest
  bool parted = false;                  // its deputy knows that this visit is over, or is itself gone

  explicit Guest(const std::string& state_dir) : files(state_dir) {}
};

struct VisitOptions {
  std::string state_dir, node;
  std::array<u8, 4> address{};
  Token token{};
  std::string home_name;
  u32 home_uid = 0;             // the program's user at home
  std::string job;              // Guest::job of the one that arrives
  u32 moves = 0;                // how often it has moved, this arrival included
  u32 version = 0;              // of its deputy's engine (lib/wire/versions.h)
  i64 monotonic_offset_ns = 0;  // home's clock minus ours
  i64 boottime_offset_ns = 0;
};

class Visit {
 public:
  Visit(VisitOptions options, Cell cell, const EngineHead& head);

  Doorway& door() { return door_; }
  Cell& cell() { return cell_; }
  // Takes over a restored guest and its links; nothing runs yet.
  void adopt(const image::Image& image, const std::map<i32, pid_t>& tids, Fd listener, std::vector<Arrival> links,
             Arrival ear, const std::vector<std::optional<FileId>>& file_ids, Segments segments);
  // Home's copy of the memory is given back: the program lives here now. Or it is kept as its first image, if it is
  // protected and `complete`. Before run().
  void keep_or_discard_home_memory(bool complete);
  // As it arrives: its writes can be noted by this.
  void take_write_tracker(Fd userfaultfd);
  void take_pending_from_home(const std::vector<image::Pending>& pending);
  // Lets it run and serves until the last guest is gone.
  void run();

 private:
  friend class Homecoming;
  // tracer.cpp
  void pump(int timeout_ms);
  void drain_waits();
  void on_stop(pid_t tid, int status);
  void on_death(pid_t tid, int status, const image::CpuTime& used);
  void on_event_stop(GuestThread& t, int signal);
  void on_seccomp_stop(GuestThread& t);
  void on_syscall_exit(GuestThread& t);
  void on_birth_event(GuestThread& parent, int event);
  void bind_child(GuestThread& parent, pid_t child);
  void resume_birth(GuestThread& t);
  bool end_birth(GuestThread& t);
  void drop_birth(GuestThread& t, user_regs_struct* regs);
  void finish_guest(std::shared_ptr<Guest> guest, int status, const image::CpuTime& used);
  void let_go(Guest& guest);
  void see_off();
  void resume(GuestThread& t, int signal = 0);
  bool freeze(Guest& guest, std::string* reason);  // on the tracer thread
  void unfreeze(Guest& guest);
  void post(std::function<void()> work);
  void on_tracer(const std::function<void()>& work);  // waits until it is done

  // signals.cpp
  void start_ear(std::shared_ptr<Guest> guest);
  void ear_loop(std::shared_ptr<Guest> guest);
  void deliver_process(Guest& guest, const std::vector<siginfo_t>& together);
  void await_signals(Guest& guest, u32 sent);  // wire::Reply::signals; 0: nothing to wait for
  std::shared_ptr<GuestThread> queue_process(Guest& guest, const siginfo_t& info);
  void deliver_thread(GuestThread& t, siginfo_t info);
  std::shared_ptr<GuestThread> thread_in_slot(const Guest& guest, u32 slot);
  void fetch_directed(Guest& guest, i32 home_tid, u64 pending);
  void schedule(Guest& guest, i32 home_tid, const Scheduling& as_at_home);
  void on_signal_stop(GuestThread& t, int signal);
  bool dies_at_home(const GuestThread& t, int signal);
  int stop_instead(GuestThread& t, int signal);
  void note_stop(Guest& guest, int to_tell);
  void on_group_stop(GuestThread& t);
  void follow_home(Guest& guest, bool stop);
  void let_continue(Guest& guest);
  bool end_cut_short(GuestThread& t, int signal, user_regs_struct regs);
  bool end_cut_write(GuestThread& t, int signal, user_regs_struct* regs);
  void kick(GuestThread& t);  // mutex_ held
  void scan();
  void interrupted(std::shared_ptr<GuestThread> t, u64 notification, bool eintr_ok);
  bool exclude(Guest& guest, u64 mask, milliseconds timeout);  // waits for the ear's word
  bool ear_frame(Guest& guest, wire::Type type, u64 seq, const void* body, size_t bytes);

  // forward.cpp
  void worker();
  void start_worker();
  struct WorkerBuffers {
    syscalls::Prepared call;
    ReplyStream reply;
    u64 time_over_ns = 0;    // the call is to end then
    bool timed_out = false;  // and was cut for that
  };
  std::shared_ptr<GuestThread> begin_serving(pid_t tid, CutCall* before);
  void serve(const seccomp_notif& n, WorkerBuffers& buffers);
  void forward(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n, const syscalls::Row& row,
               const u64 args[6], CutCall before, WorkerBuffers& buffers);
  // Sends a prepared call and waits. False: the notification has been dealt with (link gone, interrupted).
  bool exchange(const std::shared_ptr<GuestThread>& t, u64 notification, const syscalls::Row& row, CutCall before,
                WorkerBuffers& buffers, wire::Reply* reply);
  bool begin_call(GuestThread& t, bool abortable);
  void end_call(GuestThread& t);
  bool cut_by_freeze(const GuestThread& t);
  bool is_stream(GuestThread& t, u64 fd);  // a socket at home
  void answer(u64 notification, i64 value);
  void answer_continue(u64 notification);
  void deputy_gone(Guest& guest);
  bool end_in_time(GuestThread& t, WorkerBuffers& buffers);
  // A call with plain numbers (and optional input bytes behind relocations) for our own purposes.
  long home_call(GuestThread& t, u32 nr, std::initializer_list<u64> args, std::span<const u8> input = {},
                 std::span<const wire::Reloc> relocs = {}, std::span<const wire::Out> outs = {},
                 std::vector<u8>* output = nullptr);

  // waits.cpp
  void remember_wait(GuestThread& t, const seccomp_notif& n, const wire::Reply& reply);
  u64 wait_the_rest(GuestThread& t, const seccomp_notif& n, syscalls::Prepared& prepared);
  u64 home_socket_time_ns(GuestThread& t, u64 fd, int option);
  std::optional<TerminalSettings> home_terminal(GuestThread& t, u64 fd);  // nothing: it is none
  i64 answer_of_time_over(GuestThread& t, const seccomp_notif& n);
  void probe_waits(Guest& guest);  // mutex_ held
  void note_wait_here(GuestThread& t, const user_regs_struct& stop);
  bool resume_wait_here(GuestThread& t);
  bool end_wait_here(GuestThread& t, user_regs_struct* regs);

  // special.cpp: true when it has answered; false: forward it like any other.
  bool special(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n, const syscalls::Row& row, u64 args[6],
               WorkerBuffers& buffers);
  // Why the call cannot be made here with segments in use; nullptr: it can.
  const char* needs_segments_home(Guest& guest, const syscalls::Row& row, const u64 args[6]);
  bool has_file_segment(const Guest& guest) const;  // files_mutex held
  void note_opened(GuestThread& t, u32 nr, i64 fd);
  bool special_exec(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n);
  bool lives(const Guest& guest, i32 home_tid);  // a thread of it, by its number at home
  bool special_kill(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n);
  void pin_file(GuestThread& t, const seccomp_notif& n, const struct stat& home_file, int copy);
  bool special_mmap(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n);
  bool special_sigaction(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n);
  bool special_prctl(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n);
  bool special_arch_prctl(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n);
  bool special_close_range(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n);
  // clocks.cpp
  image::CpuTime cpu_of(Guest& guest);
  image::CpuTime cpu_of(GuestThread& t);
  image::CpuTime children_elsewhere(GuestThread& t, i32 only_child);
  bool special_cpu_clock(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n);
  void complete_usage(GuestThread& t, u32 nr, const u64 args[6], i64 value);
  void change_limit(Guest& guest, u32 resource, image::Limit limit);
  std::vector<u8> close_account(Guest& guest, const image::CpuTime& here);
  void close_account(GuestThread& on);
  // procfs.cpp
  bool special_open(const std::shared_ptr<GuestThread>& t, const seccomp_notif& n);
  std::string read_home_link(GuestThread& t, i32 fd);
  std::string read_home_file(GuestThread& t, const std::string& path);
  i64 hide_engine_entries(GuestThread& t, const u64 args[6], i64 bytes);
  void after_signalfd(GuestThread& t, const seccomp_notif& n, i64 result);
  void birth_job(std::shared_ptr<GuestThread> t, u64 nr, std::array<u64, 6> args);

  // moves.cpp
  MoveReport go_home(std::shared_ptr<Guest> guest, const std::string& by_itself_for = {});
  struct Target {
    Endpoint at;  // of its homed
    std::string node;
    Ticket ticket;
  };
  MoveReport go_on(std::shared_ptr<Guest> guest, const Target& to);
  void request_home(const std::shared_ptr<GuestThread>& t, u64 notification, std::string reason);
  bool silence(Guest& guest);
  // Freezes it and captures it, on its way somewhere. What go_on_here() wants to know, should it stay after all;
  // nothing: `reason` says why not, and it goes on as before.
  std::optional<u64> halt(Guest& guest, image::Image* image, std::string* reason);
  void end_here(Guest& guest);
  void go_on_here(Guest& guest, u64 excluded);
  void discard_home_memory(Guest& guest);
  void drop_pins(Guest& guest, i32 offered);

  // protect.cpp
  std::chrono::seconds protection_of(const Guest& guest);  // 0: none
  std::string too_large_for_home(const Guest& guest);      // to be protected; empty: it is not
  static void note_effect(Guest& guest, const syscalls::Prepared& call, i64 ret);
  static void take_layout(Guest& guest, const std::vector<image::Vma>& layout);
  void note_writes(Guest& guest);  // from here on: home has all that is here now
  long declare_image(Guest& guest, const wire::KernelSigaction& abort_action);  // 0 or -errno
  std::string renew_image(const std::shared_ptr<Guest>& guest);
  void protect(const Guest& guest);  // from now on, if it is to be
  [[noreturn]] void protect_guests();
  std::once_flag protecting_;
  bool capture_guest(Guest& guest, image::Image* image, std::string* reason);  // on the tracer thread, frozen

  // commander.cpp
  void commander(SealedLink link, std::string first_order);
  nlohmann::json obey(const nlohmann::json& order);

  // Sequence numbers of different visits must differ: a deputy remembers the last one it was told to abort.
  u64 first_seq() const { return static_cast<u64>(options_.moves) << 32; }
  std::shared_ptr<GuestThread> find_thread(pid_t tid);
  std::shared_ptr<Guest> find_guest(i32 home_pid);
  std::vector<std::shared_ptr<GuestThread>> threads_of(const Guest& guest);

  VisitOptions options_;
  Cell cell_;
  EngineHead head_;
  Fd listener_;
  Fd sigchld_, wakeup_;
  std::thread::id tracer_id_;

  std::mutex moves_mutex_;
  std::mutex fork_mutex_;
  std::mutex mutex_;
  // A guest's thread stands still for one of us at a time: in a stop of ptrace for the tracer, in a notification for a
  // worker. So the kernel orders what they write of it; these two say so to the language.
  std::atomic<u32> handed_over_{0};
  void hand_over() { handed_over_.fetch_add(1, std::memory_order_release); }
  void take_over() const { (void)handed_over_.load(std::memory_order_acquire); }
  bool serving_ = false;  // what the guest came with is all here, nothing of it is left at home
  std::condition_variable signals_came_;
  std::unordered_map<pid_t, std::shared_ptr<GuestThread>> threads_;
  std::map<i32, std::shared_ptr<Guest>> guests_;
  std::vector<std::shared_ptr<Guest>> parting_;  // no longer there; their deputies may not know it yet
  std::map<pid_t, int> unclaimed_stops_;         // children whose first stop came before their parent's event
  std::deque<std::function<void()>> posted_;
  std::mutex posted_mutex_;

  std::atomic<int> idle_workers_ = 0, ears_ = 0, orders_ = 0;
  SteadyClock::time_point busy_until_{};  // signals are about: scan often
  SteadyClock::time_point last_scan_{};
  Doorway door_;  // last: its threads use all of the above
};

// Guest memory for the marshaller.
class GuestMemory final : public syscalls::Memory {
 public:
  explicit GuestMemory(pid_t pid) : pid_(pid) {}
  bool read(GuestAddr from, void* to, u64 bytes) override {
    return bytes == 0 || read_memory(pid_, from.value, to, bytes);
  }
  bool write(GuestAddr to, const void* from, u64 bytes) override {
    return bytes == 0 || write_memory(pid_, to.value, from, bytes);
  }

 private:
  pid_t pid_;
};

bool at_entry_of_call(pid_t tid);     // a syscall stop: whether the call is yet to begin
timespec time_left(u64 deadline_ns);  // until then on CLOCK_MONOTONIC here; nothing when it is over

// siginfo codes the kernel refuses from others travel encoded (SIGNALS.md R0).
void encode_siginfo(siginfo_t* info);
bool decode_siginfo(siginfo_t* info);  // true: it was encoded

}  // namespace omig::host
