// SPDX-License-Identifier: Apache-2.0
#include "homed/host/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "homed/host/fault.h"
#include "homed/host/freeze.h"
#include "homed/host/proc.h"
#include "lib/base/paths.h"

namespace omig::host {
namespace {

// Code of the program's own with which calls can be executed in it.
struct Gadgets {
  u64 call = 0;  // syscall; ret
  u64 back = 0;  // mov $15,%rax; syscall: every C library returns from signal handlers by it
  u64 any = 0;   // just a syscall
};

void look_for(const std::string& code, u64 at, Gadgets* found) {
  static const std::string kCall("\x0f\x05\xc3", 3), kAny("\x0f\x05", 2);
  static const std::string kBack("\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", 9),
      kShortBack("\xb8\x0f\x00\x00\x00\x0f\x05", 7);
  const auto place = [&](const std::string& bytes) {
    const size_t where = code.find(bytes);
    return where == std::string::npos ? 0 : at + where;
  };
  if (found->call == 0) found->call = place(kCall);
  if (found->back == 0) found->back = place(kBack);
  if (found->back == 0) found->back = place(kShortBack);
  if (found->any == 0) found->any = place(kAny);
}

Gadgets find_gadgets(pid_t pid) {
  constexpr u64 kPiece = 1 << 20, kOverlap = 16;
  Gadgets found;
  std::string code(kPiece, '\0');
  for (const MapsLine& line : read_maps(pid)) {
    if ((line.prot & PROT_EXEC) == 0 || line.path == "[vsyscall]") continue;
    for (u64 at = line.start; at < line.end; at += kPiece - kOverlap) {
      const u64 bytes = std::min(kPiece, line.end - at);
      if (read_memory(pid, at, code.data(), bytes)) look_for(code.substr(0, bytes), at, &found);
      if (found.call != 0 && found.back != 0) return found;
      if (bytes < kPiece) break;
    }
  }
  return found;
}

}  // namespace

bool inject_engine(pid_t pid, std::string* reason) {
  const std::string path = find_binary("omig-engine");
  struct stat st {};
  if (path.empty() || stat(path.c_str(), &st) != 0) {
    *reason = "not preloaded, and omig-engine is not installed next to omig-host";
    return false;
  }
  const Gadgets gadgets = find_gadgets(pid);
  if (gadgets.any == 0) {
    *reason = "not preloaded, and its code cannot be read";
    return false;
  }
  FrozenProcess process;
  if (!process.freeze(pid, kFreezeLimit, reason) || !process.capture(EngineHead{}, reason)) return false;
  // A second look: it may have executed something else, or been given the engine, before it stopped.
  u8 code[2] = {};
  u64 magic = 0;
  if (read_memory(pid, kEngineHeadAddress, &magic, sizeof magic)) return true;
  const bool safe = gadgets.call != 0 && gadgets.back != 0;
  const u64 call = safe ? gadgets.call : gadgets.any;
  if (!read_memory(pid, call, code, sizeof code) || code[0] != 0x0f || code[1] != 0x05) {
    *reason = kAnotherProgram;
    return false;
  }
  process.return_by(safe ? gadgets.back : 0);
  const auto run = [&](long nr, std::initializer_list<u64> args) { return process.inject(call, nr, args); };
  constexpr u64 kPrivateFixedNoReplace = MAP_PRIVATE | MAP_FIXED_NOREPLACE;
  const long page = run(
      SYS_mmap, {kAnchorAddress, kPageSize, PROT_READ | PROT_WRITE, kPrivateFixedNoReplace | MAP_ANONYMOUS, ~0ull, 0});
  if (page != static_cast<long>(kAnchorAddress) && page != -EEXIST) {
    *reason = fmt::format("cannot map the engine into it: {}", strerror(static_cast<int>(-page)));
    return false;
  }
  // Its page for the way in: the path, then nothing again.
  std::string text(kPageSize, '\0');
  path.copy(text.data(), kPageSize - 1);
  long fd = -EFAULT, mapped = -EFAULT;
  if (write_memory(pid, kAnchorAddress, text.data(), text.size()))
    fd = run(SYS_openat, {static_cast<u64>(AT_FDCWD), kAnchorAddress, O_RDONLY | O_CLOEXEC});
  fault_point("inject-opened");
  if (fd >= 0) {
    const u64 bytes = page_up(static_cast<u64>(st.st_size));
    mapped =
        run(SYS_mmap, {kEngineBase, bytes, PROT_READ | PROT_EXEC, kPrivateFixedNoReplace, static_cast<u64>(fd), 0});
    run(SYS_close, {static_cast<u64>(fd)});
  }
  const std::string empty(kPageSize, '\0');
  write_memory(pid, kAnchorAddress, empty.data(), empty.size());
  if (mapped == static_cast<long>(kEngineBase)) return true;
  run(SYS_munmap, {kAnchorAddress, kPageSize});
  // Its constructor (preload/libomig.cpp) has reserved the place, and was stopped before it used it.
  if (mapped == -EEXIST) {
    *reason = kJustStarting;
    return false;
  }
  *reason = fd < 0 ? fmt::format("not preloaded, and it cannot open {}: {}", path, strerror(static_cast<int>(-fd)))
                   : fmt::format("cannot map the engine into it: {}", strerror(static_cast<int>(-mapped)));
  return false;
}

}  // namespace omig::host
