// SPDX-License-Identifier: Apache-2.0
#include "lib/confine/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstring>

#include "lib/abi/landlock.h"
#include "lib/link/peer.h"
#include "preload/engine/head.h"

namespace omig::confine {

namespace {

using abi::kLandlockExecute, abi::kLandlockReadFile;

constexpr u64 kWriteFile = 1 << 1, kReadDirectory = 1 << 3, kTruncate = 1 << 14, kDeviceControl = 1 << 15;
constexpr u64 kOfFiles = kLandlockExecute | kWriteFile | kLandlockReadFile | kTruncate | kDeviceControl;
constexpr u64 kRead = kLandlockReadFile | kReadDirectory;
constexpr long kKnowsTruncate = 3, kKnowsSignals = 6;

u64 rights_of(Access access, u64 all) {
  switch (access) {
    case Access::read: return kRead;
    case Access::exec: return kRead | kLandlockExecute;
    case Access::write: return all & ~kLandlockExecute;
  }
  return 0;
}

// Empty: done.
std::string add_path(int ruleset, const std::string& path, u64 rights, bool may_be_missing) {
  const Fd file(open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat facts {};
  if (file.get() < 0 || fstat(file.get(), &facts) != 0)
    return may_be_missing && errno == ENOENT ? "" : fmt::format("{}: {}", path, strerror(errno));
  if (!S_ISDIR(facts.st_mode)) rights &= kOfFiles;
  if (abi::landlock_allow(ruleset, {rights, file.get()})) return "";
  return fmt::format("{}: Landlock does not take it: {}", path, strerror(errno));
}

std::string hold_to_paths(const Allow& allow, const Place& place, long version) {
  abi::LandlockRules rules = abi::landlock_everything(version);
  rules.network = 0;  // of ports only, and omig's own are any
  rules.scoped = allow.signals == Signals::own ? abi::kLandlockSignals : 0;
  if (version >= kKnowsSignals && allow.sockets != Sockets::all) rules.scoped |= abi::kLandlockAbstractSockets;
  const Fd ruleset(abi::landlock_ruleset(rules));
  if (ruleset.get() < 0) return fmt::format("Landlock refuses the rules: {}", strerror(errno));
  std::string wrong;
  const auto add = [&](const std::string& path, u64 rights, bool may_be_missing) {
    if (wrong.empty() && !path.empty()) wrong = add_path(ruleset.get(), path, rights, may_be_missing);
  };
  for (const AllowedPath& each : allow.paths) {
    const bool of_home = each.path.starts_with('~');
    if (of_home && place.home.empty()) return fmt::format("{}: there is no home directory", each.path);
    add(of_home ? place.home + each.path.substr(1) : each.path, rights_of(each.access, rules.files),
        each.may_be_missing);
  }
  // The dynamic loader and the C library read /proc/self; libomig reads homed's pid; the engine keeps the account.
  add("/proc", kRead, false);
  add(place.binaries, kRead, false);
  add(place.state, kRead, true);
  add(place.state.empty() ? "" : place.state + "/usage", rights_of(Access::write, rules.files), true);
  if (!wrong.empty()) return wrong;
  if (!abi::landlock_restrict(ruleset.get())) return fmt::format("Landlock: {}", strerror(errno));
  return "";
}

// A program of classic BPF, put together from pieces that each return or fall through with the call's number loaded.
class Filter {
 public:
  Filter() {
    load(offsetof(seccomp_data, arch));
    unless(AUDIT_ARCH_X86_64, refuse(ENOSYS));  // 32-bit calls have other numbers
    load_number();
    constexpr u32 kX32 = 0x40000000;
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32, 0, 1));
    program_.push_back(refuse(ENOSYS));
  }
  void refuse_call(u32 nr, int error) {
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
    program_.push_back(refuse(error));
  }
  // Where the low half of an argument has that value.
  void refuse_call(u32 nr, int error, u32 argument, u32 value) {
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 4));
    load(argument_at(argument));
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    program_.push_back(refuse(error));
    load_number();
  }
  // Changing the limits of another process than the caller.
  void refuse_others_limits() {
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 8));
    load(argument_at(0));
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 5, 0));
    load(argument_at(2));  // the new limits: none if the pointer is null, both halves of it
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2));
    load(argument_at(2) + 4);
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
    program_.push_back(refuse(EPERM));
    load_number();
  }
  // But for `family` (0: none), and for the engine's own, which are not made by the instruction that executes what a
  // deputy is asked for.
  void refuse_sockets(u32 family) {
    constexpr u64 kCallReturns = kCallSyscallAddress + 2;  // what BPF sees
    constexpr u32 kHigh = static_cast<u32>(kEngineBase >> 32);
    static_assert(kEngineBase >> 32 == kCallReturns >> 32 && static_cast<u32>(kEngineBase) == 0);
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 13));
    load(argument_at(0));
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, family == 0 ? ~0u : family, 10, 0));
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 0, 8));
    load(argument_at(1));
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_STREAM | SOCK_CLOEXEC, 0, 6));
    load(offsetof(seccomp_data, instruction_pointer) + 4);
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kHigh, 0, 4));
    load(offsetof(seccomp_data, instruction_pointer));
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<u32>(kCallReturns), 2, 0));
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, static_cast<u32>(kAnchorAddress - kEngineBase), 1, 0));
    program_.push_back(allow());
    program_.push_back(refuse(EACCES));
    load_number();
  }
  bool load_it() {
    program_.push_back(allow());
    const sock_fprog whole{static_cast<unsigned short>(program_.size()), program_.data()};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0) == 0;
  }

 private:
  static u32 argument_at(u32 number) { return static_cast<u32>(offsetof(seccomp_data, args) + number * sizeof(u64)); }
  static sock_filter allow() { return BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW); }
  static sock_filter refuse(int error) {
    return BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<u32>(error));
  }
  void load(size_t from) { program_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<u32>(from))); }
  void load_number() { load(offsetof(seccomp_data, nr)); }
  void unless(u32 value, sock_filter otherwise) {
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0));
    program_.push_back(otherwise);
  }

  std::vector<sock_filter> program_;
};

std::string hold_to_calls(const Allow& allow, long version) {
  Filter filter;
  filter.refuse_call(SYS_io_uring_setup, ENOSYS);  // its calls pass by every filter
  for (const u32 nr : {SYS_keyctl, SYS_add_key, SYS_request_key}) filter.refuse_call(nr, EPERM);
  constexpr u32 kPushInput = 0x5412 /* TIOCSTI */, kConsole = 0x541c /* TIOCLINUX */;
  for (const u32 request : {kPushInput, kConsole}) filter.refuse_call(SYS_ioctl, EPERM, 1, request);
  if (version < kKnowsTruncate) filter.refuse_call(SYS_truncate, EACCES);
  if (allow.signals == Signals::own) filter.refuse_others_limits();
  if (allow.sockets != Sockets::all) filter.refuse_sockets(allow.sockets == Sockets::local ? AF_UNIX : 0);
  return filter.load_it() ? "" : fmt::format("seccomp: {}", strerror(errno));
}

}  // namespace

std::string confine(const Allow& allow, const Place& place) {
  const long version = abi::landlock_version();
  if (version < 1) return "this kernel has no Landlock (omctl doctor tells)";
  if (allow.signals == Signals::own && version < kKnowsSignals)
    return "this kernel cannot keep signals from others (Linux 6.12 can): say \"signals all\"";
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fmt::format("no_new_privs: {}", strerror(errno));
  std::string wrong = hold_to_paths(allow, place, version);
  return wrong.empty() ? hold_to_calls(allow, version) : wrong;
}

}  // namespace omig::confine
