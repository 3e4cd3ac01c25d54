// SPDX-License-Identifier: Apache-2.0
// The engine's only writable memory: the anchor page and the slots.
#pragma once

#include <cstddef>

#include "lib/image/anchor.h"
#include "lib/image/sigframe.h"
#include "lib/wire/link.h"
#include "preload/engine/head.h"
#include "preload/engine/seal.h"
#include "preload/engine/sys.h"

namespace omig::engine {

// How far a change of place has got; every thread waits for the next value with a futex.
enum Phase : u32 {
  kUndecided = 0,   // departing: frozen state kept, the host has not confirmed
  kCommitted = 1,   // the guest runs; this process is its deputy
  kRolledBack = 2,  // the move failed: one thread is taking the ear and the abort handler down
  kGo = 3,          // coming home: all state is here, the ear is being stopped
  kResume = 5,  // nothing of the engine is left in the process: every thread goes on natively (home, or rolled back)
};

// A file of the process' that is not as it was when the image was made, and can be so again.
struct Touched {
  i32 holder;    // descriptor + 1
  u32 opened;    // it was not open, else `position` is where it was
  i64 position;  // bytes
};

// What a mover must write before it diverts: phase = kUndecided, leader_slot, threads; all else zero.
struct Private {
  // A mover knows the places of these (homed/host/depart.cpp).
  u32 phase;
  u32 leader_slot;
  u32 ear_tid;  // cleared by the kernel when the ear is gone (futex)
  i32 ear_fd;   // its link; descriptors are kept + 1, so that a zeroed struct has none
  i32 signal_fd;
  u32 threads;  // that take part in the departure
  u32 arrived;  // threads that reached depart_entry
  // From here on: the engine only.
  u32 ready;  // threads that have everything to resume at home
  u32 alive;  // thread deputies, the ear not counted
  u32 lock;   // futex mutex: descriptors, slots, fork, the start and the end of the ear
  u32 lost_announced;
  u32 ear_stop;       // the ear shall end
  u32 ear_hold;       // the ear shall leave signals pending (an exec is under way)
  i32 ear_next_fd;    // the link it shall take instead of its own
  u32 relinking;      // a move to another node is under way
  u32 relink_result;  // (generation << 2) | kRelinkMoved or kRelinkStays
  u32 relink_failed;  // generation in which some thread could not link
  i32 relink_fd;      // the leader's new link: shut down by a thread that failed
  u32 leading;        // departing: the leader has begun to set up what only it takes down
  u32 abort_installed;
  u64 excluded;                        // signals left pending at home, by the host's word
  wire::KernelSigaction abort_action;  // the program's own action of kAbortSignal
  u32 directed;                        // a thread has taken a signal for the ear
  u32 signals_sent;                    // counts what the ear has sent to the host
  u32 ear_taking;                      // the ear may hold signals that it has not yet sent
  u32 ear_poking;                      // the ear may be about to send kAbortSignal to a thread
  // Protection (restart.cpp).
  u32 image_is_whole;     // home has all that it takes to go on without the guest
  u32 effects;            // calls since then that cannot be taken back
  u32 effects_under_way;  // of them, those that have not ended
  u32 restarting;         // the host is gone: kNot, kComing, kRefused
  u32 came_back;          // threads that know
  i64 image_ms;           // CLOCK_MONOTONIC
  u32 touched_lock;
  Touched touched[48];
  // What of a new image has come (stage.cpp).
  i32 stage_fd;      // + 1
  i32 stage_error;   // why it cannot become an image
  u64 stage_bytes;   // that have come
  u64 stage_at;      // that have been carried out
  u32 carrying_out;  // it is being carried out
};
static_assert(sizeof(Private) <= sizeof(Anchor::engine_private));
static_assert(offsetof(Private, threads) == 20, "movers know this place");
static_assert(offsetof(Private, excluded) == 80, "movers know this place");
inline constexpr u32 kRelinkMoved = 1, kRelinkStays = 2;

inline Anchor& anchor() { return *reinterpret_cast<Anchor*>(kAnchorAddress); }
inline Private& state() { return *reinterpret_cast<Private*>(anchor().engine_private); }
inline SlotBlock& block(u32 slot) { return *reinterpret_cast<SlotBlock*>(slot_address(slot)); }
inline SignalFrame& frame_of(SlotBlock& b) { return *reinterpret_cast<SignalFrame*>(addr(&b) + kSlotFrame); }
inline Rest& rest_of(SlotBlock& b) { return *reinterpret_cast<Rest*>(addr(&b) + kSlotRest); }
// Of what was mapped for one call (scratch, records) that much stays, for a fresh page costs more than all that a call
// does with it: large enough for the megabyte that bulk readers like, and the call's tables.
inline constexpr u64 kLeftMapped = (1 << 20) + 0x10000;
// A host knows the signals from when its links were made.
inline void follow_signals(SlotBlock& b) { b.signals_told = __atomic_load_n(&state().signals_sent, __ATOMIC_ACQUIRE); }
inline constexpr u32 kEarSlot = kMaxSlots;

struct Limit {
  u64 soft, hard;
};

// Raises a soft limit of the program's to what we need, as far as the hard one allows, for as long as this lives.
class RaisedLimit {
 public:
  RaisedLimit(u64 resource, u64 needed) : resource_(resource) {
    sys(__NR_prlimit64, 0, resource_, 0, addr(&limit_));
    enough_ = needed <= limit_.hard;
    raised_ = enough_ && needed > limit_.soft;
    const Limit raised{needed, limit_.hard};
    if (raised_) sys(__NR_prlimit64, 0, resource_, addr(&raised), 0);
  }
  ~RaisedLimit() {
    if (raised_) sys(__NR_prlimit64, 0, resource_, addr(&limit_), 0);
  }
  RaisedLimit(const RaisedLimit&) = delete;
  RaisedLimit& operator=(const RaisedLimit&) = delete;
  bool enough() const { return enough_; }

 private:
  u64 resource_;
  Limit limit_{};
  bool enough_ = false, raised_ = false;
};

// link.cpp: streams. All return 0 or a negative errno; kClosed means the peer is gone.
inline constexpr long kClosed = -ESHUTDOWN;  // in good order; no call of ours has this error
struct Guard {
  u32 first, last;
};
Guard guard_range();
// An unconnected TCP socket (or the signalfd) among the engine's own numbers; call it with the lock held.
long move_high(int fd);
struct Peer {
  const u8* address;
  u32 port;
  const u8* token;
};
Peer present_host();
// Of each slot: its present link, and the one that it will take.
struct Link {
  i32* holder;  // of the descriptor + 1
  Seals& seals;
};
inline Seals& seals_of(SlotBlock& b, u32 which = 0) { return reinterpret_cast<Seals*>(addr(&b) + kSlotSeals)[which]; }
inline Link present_link(SlotBlock& b) { return {&b.link_fd, seals_of(b)}; }
inline Link next_link(SlotBlock& b) { return {&b.next_link_fd, seals_of(b, 1)}; }
static_assert(kSlotSeals + 2 * sizeof(Seals) <= kSlotIncoming);
struct Opening {
  wire::Role role;
  u32 slot;
  i32 tid;
  const void* extra;
  u32 extra_bytes;
};
// Makes a socket, notes it + 1 in the holder, connects and says hello. On failure the holder is 0 again.
long open_link(const Link& link, const Peer& peer, const Opening& what);
// A message that is a record of its own, on a link that is nobody's present one.
long recv_one(const Link& link, void* bytes, u32 count);
long send_plainly(int fd, const u8* bytes, u64 count);
// After a recv that gave 0: kClosed, or the error of a connection that broke, which is told to one caller only and
// looks like an end to the next.
long end_of(int fd);
void close_fd(i32* holder);  // closes the descriptor *holder - 1, if any
// The present link's connection is broken. True: there is another, with the same number, and what is kept has been sent
// on it. By the slot's thread only.
bool mend(SlotBlock& b);
i64 now_ms();  // CLOCK_MONOTONIC
void doze();   // a tenth of a second

// records.cpp: what travels on a slot's present link, by its thread only.
struct Vector {
  const void* base;
  u64 bytes;
};
long send_all(SlotBlock& b, Vector* parts, u64 count);  // the parts are consumed
long recv_exact(SlotBlock& b, void* bytes, u64 count);
bool has_input(SlotBlock& b);     // recv_exact would not wait for the network, for a byte at least
void forget_input(SlotBlock& b);  // of a link that is no more; what is kept of it as well
void trim_kept(SlotBlock& b);     // to what every slot has; nothing is kept afterwards
// The host has opened so many of our records. False: we cannot go on from there.
bool forget_opened(SlotBlock& b, u64 opened);
long recv_into_memory(SlotBlock& b, u64 address, u64 count);  // to where the program says: may be unmapped
// *error: why some of it was not written, if so.
long recv_into_file(SlotBlock& b, int fd, u64 offset, u64 count, i32* error);
long drain(SlotBlock& b, u64 count);
long send_reply(SlotBlock& b, u64 seq, i64 ret, u32 flags = 0);

// deputy.cpp
[[noreturn]] void serve(SlotBlock& b);
[[noreturn]] void lost(SlotBlock& b);  // the guest is gone with its node: go on without it, or end the process, say so
// Text into `line` from `at` on, not beyond `limit`; both return where it ends.
u64 append(char* line, u64 at, u64 limit, const char* text);
u64 append_number(char* line, u64 at, u64 number);
void say(const char* a, const char* b, u64 number, const char* c);  // one line on fd 2
void lock();
bool try_lock();
void unlock();

// depart.cpp
[[noreturn]] void roll_back(SlotBlock& b);
[[noreturn]] void resume_as_departed(SlotBlock& b);  // natively, from what the mover has written

// restart.cpp
bool begin_effect(const wire::Call& call);  // true: it counts, and end_effect must follow
void end_effect(const wire::Call& call, i64 ret, u32 reply_flags);
void count_effect();   // of anything else
bool is_past_image();  // something counts; calls that have not ended do not
long serve_image(SlotBlock& b, const wire::Frame& frame);
void restart(SlotBlock& b);  // returns if the process cannot go on

// stage.cpp
long serve_stage(SlotBlock& b, const wire::Frame& frame);
bool has_stage();
long carry_out_stage(SlotBlock& b);  // 0, or why what is there now is no image
void drop_stage();

// Where a frame's bytes come from: recv_exact, or the stage.
using Source = long (*)(SlotBlock& b, void* bytes, u64 count);

// call.cpp
long serve_call(SlotBlock& b, const wire::Frame& frame);
long carry_out_call(SlotBlock& b, const wire::Frame& frame, Source source);  // its result; no answer, no aborts
long ensure_scratch(SlotBlock& b, u64 bytes);
void trim_scratch(SlotBlock& b, u64 keep_bytes);
void install_abort_handler();  // the program's own action goes to abort_action
u64 noop_handler();            // the same handler does nothing outside of the stub
void set_action(int signal, u64 handler, u64 flags = 0);

// account.cpp
long serve_account(SlotBlock& b, const wire::Frame& frame);

// family.cpp: what makes or ends processes and threads
long serve_fork(SlotBlock& b, const wire::Frame& frame);
long serve_new_thread(SlotBlock& b, const wire::Frame& frame);
long serve_exec(SlotBlock& b, const wire::Frame& frame);
long serve_exit(SlotBlock& b, const wire::Frame& frame);
bool map_slot(u32 slot);

// home.cpp
long serve_write_memory(SlotBlock& b, const wire::Frame& frame);
long serve_resume_state(SlotBlock& b, const wire::Frame& frame);
long take_resume_state(SlotBlock& b, const wire::Frame& frame, Source source);
long serve_go(SlotBlock& b, const wire::Frame& frame);
void end_cut_short(SlotBlock& b);
void drop_aborts();                                                 // late ones, before the program's action is back
void leave_deputy_life(const wire::KernelSigaction& abort_action);  // by the last of the threads that go home
[[noreturn]] void resume_from_frame(SlotBlock& b);

// rest.cpp
void renew_rest(SlotBlock& b);
void wait_first(SlotBlock& b);  // after end_cut_short, if the call is to be issued again

// relink.cpp
long serve_relink(SlotBlock& b, const wire::Frame& frame);

// ear.cpp; all with the lock held, but wake_ear
long start_ear();
void stop_ear();
void wake_ear();
void fill_extra(wire::ProcessExtra* extra);
void poke(const SlotBlock& b);     // by the ear: sends kAbortSignal to that thread, unless it is executing a program
u64 wanted();                      // the signals that the ear may take
u32 signals_before(SlotBlock& b);  // by a thread that is about to answer: wire::Reply::signals

// directed.cpp: signals sent to one thread
bool take_directed(SlotBlock& b);                        // by the thread itself; true: it has taken one
void keep_directed(SlotBlock& b);                        // by the thread itself: what it has taken is its own again
void ask_for_directed(const wire::TakeDirected& order);  // by the ear, as the rest
long send_directed(SlotBlock& ear);
long settle_directed(SlotBlock& ear);  // afterwards no thread takes any until asked again

// start.S
extern "C" {
[[gnu::visibility("hidden")]] long omig_clone(u64 flags, u64 stack_top, void* parent_tid, void* child_tid,
                                              void (*entry)(u64), u64 argument);
[[gnu::visibility("hidden")]] long omig_call(SlotBlock* b, const u64* args, long nr, u64 seq, u32* not_run);
[[noreturn, gnu::visibility("hidden")]] void omig_sigreturn(void* frame);
[[gnu::visibility("hidden")]] void omig_finish_write();
[[gnu::visibility("hidden")]] void omig_wait_first();
[[gnu::visibility("hidden")]] void omig_restorer();
[[gnu::visibility("hidden")]] extern const u8 omig_call_begin[], omig_call_syscall[], omig_call_notrun[];
}

}  // namespace omig::engine
