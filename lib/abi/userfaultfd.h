// SPDX-License-Identifier: Apache-2.0
// userfaultfd's asynchronous write protection (Linux 6.7, include/uapi/linux/userfaultfd.h), which Debian 12's headers
// do not know yet: the kernel lifts the protection of a page that is written and lets the program go on.
#pragma once

#include "lib/base/types.h"

namespace omig::abi {

inline constexpr int kUffdUserModeOnly = 1;  // what an ordinary user may ask for
inline constexpr u64 kUffdApi = 0xaa;
inline constexpr u64 kUffdWpAsync = 1 << 15;
inline constexpr u64 kUffdRegisterWriteProtect = 2;

struct UffdApi {
  u64 api;
  u64 features;
  u64 ioctls;
};
struct UffdRegister {
  u64 start;
  u64 bytes;
  u64 mode;
  u64 ioctls;
};

inline constexpr unsigned long kUffdioApi = 0xc018aa3f;
inline constexpr unsigned long kUffdioRegister = 0xc020aa00;

}  // namespace omig::abi
