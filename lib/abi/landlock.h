// SPDX-License-Identifier: Apache-2.0
// Landlock (Linux 5.13, include/uapi/linux/landlock.h): a process gives up rights for itself and all that it starts.
// Debian 12's headers know its first version only.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/types.h"

namespace omig::abi {

struct LandlockRules {
  u64 files = 0;
  u64 network = 0;  // from version 4
  u64 scoped = 0;   // from version 6
};
struct [[gnu::packed]] LandlockPath {
  u64 allowed = 0;
  i32 fd = -1;
};
inline constexpr u64 kLandlockExecute = 1 << 0, kLandlockReadFile = 1 << 2;
inline constexpr u64 kLandlockAbstractSockets = 1, kLandlockSignals = 2;  // scopes: inside only
inline constexpr u64 kLandlockScopes = kLandlockAbstractSockets | kLandlockSignals;

// The version that this kernel speaks; not positive: none.
inline long landlock_version() { return syscall(SYS_landlock_create_ruleset, nullptr, 0, 1); }

// All that a kernel of that version can forbid.
constexpr LandlockRules landlock_everything(long version) {
  const u64 files = version >= 5 ? 0xffff : version >= 3 ? 0x7fff : version == 2 ? 0x3fff : 0x1fff;
  return {files, version >= 4 ? 3u : 0u, version >= 6 ? kLandlockScopes : 0u};
}

// What will be given up, as a descriptor that the caller closes; negative: errno.
inline int landlock_ruleset(const LandlockRules& rules) {
  return static_cast<int>(syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0));
}
// But for this. False: errno.
inline bool landlock_allow(int ruleset, const LandlockPath& path) {
  constexpr int kPathBeneath = 1;
  return syscall(SYS_landlock_add_rule, ruleset, kPathBeneath, &path, 0) == 0;
}
// Gives it up for good. Needs no_new_privs or CAP_SYS_ADMIN. False: errno.
inline bool landlock_restrict(int ruleset) { return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0; }

// All at once, with one exception or none.
inline bool landlock(const LandlockRules& rules, const LandlockPath* exception = nullptr) {
  const int fd = landlock_ruleset(rules);
  if (fd < 0) return false;
  const bool done = (exception == nullptr || landlock_allow(fd, *exception)) && landlock_restrict(fd);
  close(fd);
  return done;
}

}  // namespace omig::abi
