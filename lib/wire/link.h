// SPDX-License-Identifier: Apache-2.0
// The link between a guest's host (visited node) and its deputy (home): frames over one TCP stream per thread.
//
// Freestanding: the engine parses these same structs. Everything is little-endian x86-64 and fixed-size, with
// explicit lengths; a side that reads a header it does not like closes the link, it never guesses.
//
// The engine (home side) is kept ignorant of what a call means. The host, which has the syscall table, describes a
// call as raw bytes: six argument words, a block of input bytes to place in a scratch buffer, a list of places where
// the address of a scratch byte must be stored (relocations), and a list of scratch ranges to send back. Nested
// structures (iovecs, msghdr) are just more relocations. So a new syscall never needs a new engine.
#pragma once

#include "lib/base/types.h"

namespace omig::wire {

inline constexpr u32 kMagic = 0x47494d4f;  // "OMIG"
inline constexpr u32 kVersion = 10;
inline constexpr u32 kOldest = 10;          // that is still understood (versions.h)
inline constexpr u32 kMaxFrame = 1u << 30;  // bytes after the header; larger is a protocol error
inline constexpr u32 kTokenBytes = 32;

// Everything on a link but its hello travels in sealed records:
//
//   RecordHead, the bytes encrypted, kTagBytes of tag
//
// by AES-128-GCM or, where the deputy's processor has no instructions for it, ChaCha20-Poly1305 (RFC 8439). Each
// direction has a key of its own, so nothing can be sent back; the nonce is the record's number (4 zero bytes, u64), so
// nothing can be repeated, left out or put elsewhere; what is not as it was sent ends the link. The head is
// authenticated, and by a link's first record its hello is as well. Who opens a link speaks first: that record shows
// that it knows the token.
//
// Keys: the first 64 bytes of ChaCha20's key stream with the token as key and the hello's nonce, counter 0: 32 for what
// goes to the host, 32 for what comes from it. The host takes a nonce only once. After kRecordsPerKey records of a
// direction its key is replaced by the first 32 bytes of the key stream of the old one with a nonce of twelve 0xff.
// AES takes the first 16 bytes of a key.
enum class Cipher : u32 { aes128_gcm = 1, chacha20_poly1305 = 2 };
inline constexpr u32 kNonceBytes = 12, kTagBytes = 16, kKeyBytes = 32;
inline constexpr u32 kMaxRecord = 1u << 16;
inline constexpr u64 kRecordsPerKey = 1ull << 22;

struct RecordHead {
  u32 bytes = 0;     // of the plain bytes, 1 to kMaxRecord
  u32 received = 0;  // records of the other direction that the sender has opened, modulo 2^32
};
static_assert(sizeof(RecordHead) == 8);

// A link outlives its connection. Each end keeps the records that it has sent until the other says that it has opened
// them. When a connection breaks (any error; its orderly end is the end of the link, as is a new one's being refused),
// the deputy connects again, as long as Hello::patience_s says: a hello with Role::resume and a nonce of its own, whose
// record is a Resume, under the keys of that hello. The host answers, under the same keys, with a record that is a
// Resumed; then both send what the other has not opened, byte for byte as before, and the old keys and counts go on. So
// every record is opened exactly once, whatever happens to connections.

// Who opens a link, in its first bytes.
enum class Role : u32 {
  thread = 1,     // the deputy of one guest thread: serves calls
  ear = 2,        // the deputy process' collector: signals one way, aborts the other
  commander = 3,  // a homed that gives orders as length-prefixed JSON (homed/host/commander.h)
  resume = 4,     // a deputy's thread or ear whose connection broke
};

struct Hello {
  u32 magic = kMagic;
  u32 version = kVersion;
  Role role = Role::thread;
  u32 slot = 0;
  u8 nonce[kNonceBytes] = {};
  Cipher cipher = Cipher::aes128_gcm;
  i32 pid = 0;
  i32 tid = 0;
  u32 extra_bytes = 0;  // how many bytes the first record has: a ThreadExtra, a ProcessExtra, a Resume, or a
                        // commander's first order
  u32 guard_first = 0;  // the engine's own descriptors at home lie in [guard_first, guard_last]: the host keeps the
  u32 guard_last = 0;   // program's close_range and friends away from them
  u32 patience_s = 0;   // for how long a broken connection is made again; 0: never
};
static_assert(sizeof(Hello) == 56);

struct Resume {
  u8 link[kNonceBytes] = {};  // the nonce of the hello that began it
  u32 attempt = 0;            // counts them from 1 on: one that is overtaken by a later one is not answered
  u64 received = 0;           // records from the host that have been opened
};

// An end without this word says nothing: the door may have been crowded, or the host slow. The deputy comes again.
struct Resumed {
  u64 received = 0;  // records to the host that have been opened, the hello's included; or kNoSuchLink
};
inline constexpr u64 kNoSuchLink = ~0ull;  // it is over, or there never was one: so the visit is over

inline constexpr u32 kAbleToStage = 1;  // Type::stage

// What only the thread itself can read about itself.
struct ThreadExtra {
  u64 clear_child_tid = 0;
  u64 altstack_sp = 0;
  u64 altstack_bytes = 0;
  i32 altstack_flags = 0;
  u32 able = kAbleToStage;  // what this engine knows beyond its version
};

struct KernelSigaction {
  u64 handler = 0;
  u64 flags = 0;
  u64 restorer = 0;
  u64 mask = 0;
};

struct ProcessExtra {
  KernelSigaction actions[64];  // [signal - 1]
  u64 extended = 0;             // components of XSAVE that it may use (arch_prctl ARCH_GET_XCOMP_PERM)
};

enum class Type : u32 {
  // host -> thread link
  running = 1,        // Running: the guest runs, be its deputy from now on (commit)
  call = 2,           // Call, Reloc[], Out[], input bytes
  write_memory = 3,   // u64 address, then bytes: home memory is written directly (coming home)
  fork = 4,           // Fork: make a child deputy
  new_thread = 5,     // make a thread deputy
  exec = 6,           // Exec, then strings
  exit_group = 7,     // u64 status
  exit_thread = 8,    // u64 status
  relink = 9,         // Relink: serve another host from now on, if it says `running`
  resume_state = 10,  // ResumeState + signal frame bytes: keep it, answer, wait for `go`
  go = 11,            // KernelSigaction of the abort signal: every thread has its state, run at home
  account = 12,       // Account, bytes, paths: append the bytes to each of the files; not answered
  abandon = 13,       // the move failed before commit: run at home from the state kept
  image = 14,  // KernelSigaction of the abort signal: memory and states at home are whole as of now, once what is
               // staged has been carried out. Answered.
  stage = 15,  // Staged, then a frame (call without outs, write_memory, resume_state) that `image` carries out;
               // nothing: what is staged is dropped. Not answered.
  // host -> ear link
  abort_call = 32,  // AbortCall
  die = 33,         // u64 signal: end the process as that signal's default action does
  stop = 34,        // u64 signal: stop the process as that signal's default action does
  exclude =
      35,  // u64 mask: leave these signals pending at home (a signalfd reads them; all: coming home). Acknowledged.
  take_directed = 36,  // TakeDirected: fetch one signal of each number that is pending for that thread alone
  heard = 37,          // nothing: the ear needs not keep what it has sent (its record says so)
  // deputy -> host
  reply = 64,     // Reply, then output bytes
  signal = 65,    // 128 bytes of siginfo
  directed = 66,  // Directed
};

// A datagram to homed's announce.sock: the sender is, or is about to become, a program that can move.
struct Announcement {
  u32 magic = kMagic;
  i32 pid = 0;
};

struct Frame {
  Type type;
  u32 bytes;  // after this header
  u64 seq;    // call sequence number; a reply carries its call's
};

struct Call {
  u32 nr = 0;
  u32 flags = 0;
  u64 args[6] = {};
  u32 relocs = 0;
  u32 outs = 0;
  u32 in_bytes = 0;       // placed at scratch offset 0
  u32 scratch_bytes = 0;  // total scratch needed (>= in_bytes); the rest is zeroed by the engine
};

inline constexpr u32 kCallProbeOnNotRun = 1;  // read/write: if aborted before it ran, probe once without blocking
inline constexpr u32 kCallWantsSigpipe = 2;   // on EPIPE consume the SIGPIPE the kernel queued and say so in the reply

inline constexpr u32 kCallStopsInBackground =
    4;                                     // SIGTTIN (read) or SIGTTOU does what its default action does natively
inline constexpr u32 kCallUnanswered = 8;  // no reply: nobody waits for its end
inline constexpr u32 kCallTimesIn = 32;    // its end by a signal depends on args[0]'s SO_RCVTIMEO,
inline constexpr u32 kCallTimesOut = 64;   // SO_SNDTIMEO: see kReplyTimesOut
// What it does that matters if the process goes on from an older image (docs/PROTOCOL.md, Protection). None: something.
inline constexpr u32 kCallHarmless = 128;        // nothing
inline constexpr u32 kCallReads = 256;           // it moves the position of args[0]
inline constexpr u32 kCallOpens = 512;           // it makes a descriptor, of something that is only read
inline constexpr u32 kCallCloses = 1024;         // args[0]
inline constexpr u32 kCallMindsBackground = 16;  // not run if it would act on the terminal of a background process

// Store the address of scratch[target] at argument `where` (where < 6) or, with kRelocScratch set, into the 8 bytes at
// scratch offset (where & ~kRelocScratch).
inline constexpr u32 kRelocScratch = 0x80000000u;
struct Reloc {
  u32 where = 0;
  u32 target = 0;
};

// A scratch range to send back after the call. unit == 0: all `bytes`, if the call did not fail. unit > 0: as many
// bytes as min(bytes, ret * unit). always: also when it failed. length_at != ~0: the length is the u32 stored at that
// scratch offset by the kernel (addrlen), capped to `bytes`.
struct Out {
  u32 offset = 0;
  u32 bytes = 0;
  u32 unit = 0;
  u32 always = 0;
  u32 length_at = ~0u;
};

struct Reply {
  i64 ret = 0;
  u32 out_bytes = 0;
  u32 flags = 0;
  // Of the last signal that the ear has sent before this reply (its frame's seq), if any since the thread's last one:
  // natively its handler would have run, so the host has it queued before the call ends. 0: none.
  u32 signals = 0;
  u32 reserved = 0;
};
inline constexpr u32 kReplyNotRun = 1;    // aborted before the kernel began it: ret is meaningless
inline constexpr u32 kReplySigpipe = 2;   // a SIGPIPE belongs to the caller
inline constexpr u32 kReplySigxfsz = 32;  // a SIGXFSZ does
inline constexpr u32 kReplyTimesOut =
    16;  // with kReplyAborted: the socket has a time-out, EINTR whatever SA_RESTART says
inline constexpr u32 kReplyPastImage = 64;    // since its image the process has done what must not be done twice
inline constexpr u32 kReplyInBackground = 8;  // with kReplyNotRun: see kCallMindsBackground
inline constexpr u32 kReplyAborted = 4;  // ret is -EINTR because of our abort (a signal of the guest's is the cause)

struct Fork {
  u64 clone_flags = 0;  // exit signal in the low byte, plus the few flags that mean something to the deputy
};

struct Exec {
  u64 sigmask = 0;   // of the calling guest thread
  u64 ignored = 0;   // signals ignored in the guest (bit signal-1)
  u64 handled = 0;   // signals with a handler in the guest
  i32 dirfd = -100;  // execveat
  u32 at_flags = 0;
  u32 is_at = 0;
  u32 argc = 0;
  u32 envc = 0;
  u32 argv_null = 0;  // argv pointer itself was NULL
  // then path, argv strings, envp strings, each NUL-terminated
};

struct Staged {
  u32 slot = 0;      // of the thread whose frame it would be
  u32 may_fail = 0;  // the image is whole all the same
};

struct Account {
  u32 bytes = 0;  // to append
  u32 paths = 0;
  // then the bytes, then the paths, each NUL-terminated; all together at most kMaxAccount
};
inline constexpr u32 kMaxAccount = 32 * 1024;

struct Relink {
  u32 port = 0;        // host order
  u32 leader = 0;      // 1: this thread also brings the ear over and waits for the new host's word
  u8 address[4] = {};  // IPv4
  u8 token[kTokenBytes] = {};
  char node[32] = {};
};

// A thread's registers issue again a call that a move cut short. If a handler runs before they do, the program must see
// what it would have seen: its call ended by a signal.
enum class CutShort : u32 {
  no = 0,       // nothing was, or it had not begun: a signal comes before the call
  restart = 1,  // EINTR unless the handler has SA_RESTART
  eintr = 2,    // EINTR after any handler (pause, poll, nanosleep and the like)
};

struct ResumeState {
  u64 fs_base = 0;
  u64 gs_base = 0;
  u64 clear_child_tid = 0;
  u64 robust_list = 0;
  u64 robust_bytes = 0;
  u64 rseq = 0;
  u32 rseq_bytes = 0;
  u32 rseq_signature = 0;
  u64 altstack_sp = 0;
  u64 altstack_bytes = 0;
  i32 altstack_flags = 0;
  u32 frame_bytes = 0;  // signal frame that follows, position independent except for its fpstate pointer
  u32 fpstate_offset = 0;
  u32 threads = 0;  // how many threads resume together
  CutShort cut_short = CutShort::no;
  u32 reserved = 0;
  u64 done_bytes = 0;  // of a write cut short: that many are written, the call goes on behind them
  // Of a wait cut short: see Rest (preload/engine/head.h).
  u64 rest_deadline_ns = 0;
  u64 rest_original = 0;
  u32 rest_how = 0;
  u32 rest_argument = 0;
};

struct Running {
  char node[32] = {};
};

// The signal by which the ear wakes a deputy thread out of a call. The program's own disposition of it is kept away.
inline constexpr int kAbortSignal = 64;

// Signals whose default action leaves a core, by signal(7): QUIT ILL TRAP ABRT BUS FPE SEGV XCPU XFSZ SYS; bit
// signal-1.
inline constexpr u64 kDumpingSignals = 1ull << 2 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 7 |
                                       1ull << 10 | 1ull << 23 | 1ull << 24 | 1ull << 30;

struct AbortCall {
  u32 slot = 0;
  u32 reserved = 0;
  u64 seq = 0;
};

struct TakeDirected {
  u32 slot = 0;
  u32 reserved = 0;
  u64 mask = 0;  // bit signal-1
};

inline constexpr u32 kSiginfoBytes = 128;
struct Directed {
  u32 slot = 0;
  u32 reserved = 0;
  u8 info[kSiginfoBytes] = {};
};

}  // namespace omig::wire
