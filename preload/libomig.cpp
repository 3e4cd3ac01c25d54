// SPDX-License-Identifier: Apache-2.0
// libomig.so: what a program is started with (LD_PRELOAD) so that it can move later.
//
// Its constructor puts the engine at its address and tells homed that the program exists. Nothing else: no thread, no
// descriptor, no signal handler, no errno; no symbol that could take the place of the program's own but for the
// functions of CPU time (cpu_time.cpp), and no writable memory but for what those have to remember. The engine's pages
// are moved out of this library's own mapping by one mremap: they stay file-backed and shared by all processes, and
// cost no descriptor and no copy. A program whose address space is taken there stays at home.
//
// Everything is best effort and silent: a program must never notice that it was preloaded.
#include "lib/image/anchor.h"
#include "preload/engine/head.h"
#include "preload/engine/sys.h"
#include "preload/ledger.h"

extern "C" {
[[gnu::visibility("hidden")]] extern omig::u8 omig_engine_image[];
[[gnu::visibility("hidden")]] extern omig::u8 omig_engine_image_end[];
[[gnu::weak]] extern char** __environ;
}

namespace omig {
namespace {

using engine::addr;
using engine::failed;
using engine::sys;

constexpr u64 kPathBytes = 108;  // of a unix socket address

struct Path {
  char text[kPathBytes];
  u64 bytes = 0;  // without the NUL; kPathBytes: too long
  void append(const char* more) {
    while (*more != 0 && bytes < kPathBytes - 1) text[bytes++] = *more++;
    if (*more != 0) bytes = kPathBytes;
    if (bytes < kPathBytes) text[bytes] = 0;
  }
  void append_number(u64 number) {
    char digits[21];
    u64 at = 20;
    digits[at] = 0;
    do digits[--at] = static_cast<char>('0' + number % 10);
    while ((number /= 10) != 0);
    append(digits + at);
  }
  bool good() const { return bytes < kPathBytes; }
};

char state_directory_at_start[kPathBytes];

const char* find(char** environment, const char* name) {
  for (; *environment != nullptr; ++environment) {
    const char* have = *environment;
    const char* want = name;
    while (*want != 0 && *have == *want) ++have, ++want;
    if (*want == 0 && *have == '=') return have + 1;
  }
  return nullptr;
}

bool place_engine() {
  const u64 from = addr(omig_engine_image), bytes = addr(omig_engine_image_end) - from;
  // mremap would destroy what is mapped there; the probe finds out and reserves the range at once. Kernels that do not
  // know MAP_FIXED_NOREPLACE take the address as a wish.
  constexpr u64 kNoAccess = 0, kPrivateAnonymousNoReserveFixedNoReplace = 0x104022;
  const long probe = sys(__NR_mmap, kEngineBase, bytes, kNoAccess, kPrivateAnonymousNoReserveFixedNoReplace, ~0ull, 0);
  if (failed(probe)) return false;
  if (static_cast<u64>(probe) != kEngineBase) {
    sys(__NR_munmap, static_cast<u64>(probe), bytes);
    return false;
  }
  constexpr u64 kMayMoveFixed = 3;
  const long moved = sys(__NR_mremap, from, bytes, bytes, kMayMoveFixed, kEngineBase);
  if (!failed(moved)) return true;
  sys(__NR_munmap, kEngineBase, bytes);
  return false;
}

// Somebody who moved this process before it came here has put the engine there already (homed/host/inject.h).
bool engine_is_there() {
  u64 magic = 0;
  struct {
    u64 base, bytes;
  } here{addr(&magic), sizeof magic}, there{kEngineHeadAddress, sizeof magic};
  return sys(__NR_process_vm_readv, static_cast<u64>(sys(__NR_getpid)), addr(&here), 1, addr(&there), 1, 0) ==
             static_cast<long>(sizeof magic) &&
         magic == kEngineHeadMagic;
}

Path state_directory(char** environment) {
  Path path;
  if (const char* directory = find(environment, "OMIG_DIR"); directory != nullptr && *directory != 0) {
    path.append(directory);
    return path;
  }
  const u64 uid = static_cast<u64>(sys(__NR_getuid));
  const char* runtime = find(environment, "XDG_RUNTIME_DIR");
  if (uid == 0) {
    path.append("/run/omig");
  } else if (runtime != nullptr && *runtime != 0) {
    path.append(runtime);
    path.append("/omig");
  } else {
    path.append("/tmp/omig-");
    path.append_number(uid);
  }
  return path;
}

i32 read_pid(const Path& directory) {
  Path path = directory;
  path.append("/homed.pid");
  if (!path.good()) return 0;
  constexpr u64 kCloexec = 02000000;
  const long fd = sys(__NR_openat, static_cast<u64>(-100), addr(path.text), kCloexec);
  if (failed(fd)) return 0;
  char text[16];
  const long got = sys(__NR_read, static_cast<u64>(fd), addr(text), sizeof text);
  sys(__NR_close, static_cast<u64>(fd));
  i32 pid = 0;
  for (long i = 0; i < got && text[i] >= '0' && text[i] <= '9' && pid < 100'000'000; ++i)
    pid = pid * 10 + (text[i] - '0');
  return pid;
}

// Where Yama restricts ptrace to descendants, homed and what it starts must be allowed by name. Elsewhere the first
// call fails.
void allow_tracer(const Path& directory) {
  constexpr u64 kSetPtracer = 0x59616d61;
  if (sys(__NR_prctl, kSetPtracer, 0) != 0) return;
  if (const i32 pid = read_pid(directory); pid > 0) sys(__NR_prctl, kSetPtracer, static_cast<u64>(pid));
}

void announce(const Path& directory) {
  struct {
    u16 family = 1;
    char path[kPathBytes];
  } address;
  Path path = directory;
  path.append("/announce.sock");
  if (!path.good() || sys(__NR_access, addr(path.text), 0) != 0) return;
  allow_tracer(directory);
  constexpr u64 kDatagramCloexec = 2 | 02000000;
  const long fd = sys(__NR_socket, 1, kDatagramCloexec, 0);
  if (failed(fd)) return;
  for (u64 i = 0; i <= path.bytes; ++i) address.path[i] = path.text[i];
  wire::Announcement message;
  message.pid = static_cast<i32>(sys(__NR_getpid));
  constexpr u64 kDontWaitNoSignal = 0x40 | 0x4000;
  sys(__NR_sendto, static_cast<u64>(fd), addr(&message), sizeof message, kDontWaitNoSignal, addr(&address),
      2 + path.bytes + 1);
  sys(__NR_close, static_cast<u64>(fd));
}

// glibc passes a constructor the program's environment, perhaps before it has set its own variable; musl passes
// nothing, and has.
void start(int, char**, char** passed) {
  char** const environment = &__environ != nullptr && __environ != nullptr ? __environ : passed;
  const char* disable = find(environment, "OMIG_DISABLE");
  if (disable != nullptr && disable[0] == '1' && disable[1] == 0) return;
  if (!place_engine() && !engine_is_there()) return;
  const Path directory = state_directory(environment);
  for (u64 i = 0; directory.good() && i <= directory.bytes; ++i) state_directory_at_start[i] = directory.text[i];
  find_functions_behind();
  announce(directory);
}

[[gnu::section(".init_array"), gnu::used]] void (*const at_start)(int, char**, char**) = start;

}  // namespace

bool find_own_ledger(LedgerPath* path) {
  if (state_directory_at_start[0] == 0) return false;
  Path full;
  full.append(state_directory_at_start);
  full.append("/usage/");
  full.append_number(static_cast<u64>(sys(__NR_getpid)));
  if (!full.good()) return false;
  static_assert(sizeof path->text >= kPathBytes);
  for (u64 i = 0; i <= full.bytes; ++i) path->text[i] = full.text[i];
  return true;
}

}  // namespace omig
