// SPDX-License-Identifier: Apache-2.0
// Newer parts of linux/seccomp.h (Linux 6.6), which Debian 12's headers do not know yet.
#pragma once

#include <sys/ioctl.h>

#include "lib/base/types.h"

namespace omig::abi {

inline constexpr unsigned long kNotifSetFlags = _IOW('!', 4, u64);
inline constexpr u64 kNotifSyncWakeUp = 1;

}  // namespace omig::abi
