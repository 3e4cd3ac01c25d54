// SPDX-License-Identifier: Apache-2.0
// What a process is made of while it travels: its mappings, its threads, its signals. Plain structs of fixed size, sent
// as they are between two omig-hosts of the same version (wire::kVersion); only file names travel as JSON.
#pragma once

#include <sys/user.h>

#include <string>
#include <vector>

#include "lib/base/types.h"
#include "lib/image/anchor.h"
#include "lib/image/usage.h"
#include "lib/wire/link.h"

namespace omig::image {

enum class VmaKind : u32 {
  anonymous = 0,  // private memory without a file (or with one that only home knows: its bytes are shipped)
  file = 1,       // private, or shared but never writable, mapping of files[file]
  vdso = 2,
  vvar = 3,
  vvar_vclock = 4,
};

inline constexpr u32 kGrowsDown = 1;
inline constexpr u32 kSharedReadOnly = 2;
inline constexpr u32 kDontFork = 8, kWipeOnFork = 16, kDontDump = 32;  // madvise(2)
inline constexpr u32 kAdvice = kDontFork | kWipeOnFork | kDontDump;
inline constexpr u32 kSegment = 4;  // of shared memory that this process alone uses (homed/sharing.h)

struct Vma {
  u64 start = 0;
  u64 end = 0;
  u64 offset = 0;  // into the file
  i32 file = -1;
  u32 prot = 0;  // PROT_*
  u32 flags = 0;
  VmaKind kind = VmaKind::anonymous;
  u64 bytes() const { return end - start; }
};

// The file behind mappings, verified by content: a node that has the same bytes maps its own copy.
struct File {
  std::string path;  // as home knows it
  u64 size_bytes = 0;
  std::string sha256_hex;  // empty: nobody else's copy will do (it was mapped while away)
  enum class Segment : u32 {
    no = 0,
    memory = 1,  // nobody can see it but through the mapping
    file = 2,    // what is written to it must be in home's file when the mapping ends
  } segment = Segment::no;
  u64 home_device = 0, home_inode = 0;  // of a segment, as stat(2) says at home
};

// A file that was mapped while away. Home has mapped the same bytes of it aside at once: that keeps the file, whatever
// becomes of its name and its descriptor, and is moved to where the guest has it when the guest comes home.
struct Pin {
  u64 address = 0;  // at home
  u64 bytes = 0;
  u64 offset = 0;  // into the file
  i32 file = -1;
  u32 reserved = 0;
  // Still in the pins' range, where no attempt to come home has moved it from.
  bool aside() const { return address >= kPinsAddress && address < kPinsAddress + kPinsBytes; }
};

// struct prctl_mm_map of linux/prctl.h, without its auxv pointer.
struct MmMap {
  u64 start_code = 0, end_code = 0, start_data = 0, end_data = 0, start_brk = 0, brk = 0, start_stack = 0;
  u64 arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
};

inline constexpr u32 kXsaveMaxBytes = 12 * 1024;

struct Thread {
  i32 tid = 0;  // as home knows it
  u32 xsave_bytes = 0;
  user_regs_struct regs{};  // normalised: continuing with them continues the program
  u64 sigmask = 0;
  u64 rseq = 0;
  u32 rseq_bytes = 0;
  u32 rseq_signature = 0;
  u64 robust_list = 0;
  u64 robust_bytes = 0;
  u64 clear_child_tid = 0;
  u64 altstack_sp = 0;
  u64 altstack_bytes = 0;
  i32 altstack_flags = 0;
  // 1: the thread slept in the home kernel (nanosleep) when it was frozen: its first call is restart_syscall, which
  // only the deputy can finish (KERNEL.md 2).
  u32 restart_at_home = 0;
  wire::CutShort cut_short = wire::CutShort::no;
  std::int16_t nice = 0;  // lib/base/scheduling.h
  u16 policy = 0;
  u64 done_bytes = 0;         // of a write cut short
  u64 sleep_deadline_ns = 0;  // CLOCK_MONOTONIC of home at which an interrupted relative sleep ends; 0: none
  CpuTime shown, unrecorded;  // as Account's, of this thread
  char name[16] = {};
  u8 xsave[kXsaveMaxBytes] = {};
};

struct Pending {
  i32 tid = 0;  // 0: of the whole process
  u32 reserved = 0;
  u8 siginfo[128] = {};
};

struct Header {
  u32 threads = 0;
  u32 vmas = 0;
  u32 pending = 0;
  u32 home_vmas = 0;  // 0: home's layout is `vmas` itself
  u32 auxv_bytes = 0;
  i32 pid = 0;
  u32 pins = 0;
  u32 segment_fds = 0;
  u32 advised = 0;  // 1: mappings may bear kAdvice or guard regions, so the next one to look has to
  u32 reserved = 0;
  u32 actions_known = 0;  // 1: `actions` is valid (a guest moves on); 0: the ear brings them (departure from home)
  MmMap mm;
  u8 auxv[512] = {};
  wire::KernelSigaction actions[64] = {};
  u64 stack_limit_bytes = 0;
  i64 monotonic_ns = 0;  // home's clocks when it was frozen
  i64 boottime_ns = 0;
  u64 ear_excluded = 0;  // signals the ear leaves pending at home
  Account account;
};

struct Image {
  Header header;
  std::vector<Vma> vmas;
  std::vector<Vma> home_vmas;  // what home has kept; file numbers as in `files`
  std::vector<Pin> pins;
  std::vector<i32> segment_fds;  // home's descriptors of segments' files
  std::vector<Thread> threads;
  std::vector<Pending> pending;
  std::vector<File> files;
};

// A run of pages on the wire, with its bytes behind it; zero bytes ends the image. kRunGone in its address: pages that
// were sent ahead are not there any more, no bytes follow. kRunSegment: bytes of a segment, at home's address for them.
// kRunGuard: a guard region (MADV_GUARD_INSTALL), no bytes.
inline constexpr u64 kRunGone = 1, kRunSegment = 2, kRunGuard = 4;
struct PageRun {
  u64 address = 0;
  u64 bytes = 0;
};

}  // namespace omig::image
