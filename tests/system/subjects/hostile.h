// SPDX-License-Identifier: Apache-2.0
// What hostile.cpp, its other files and escape_test.cpp share.
#pragma once

#include <sys/types.h>

namespace omig::test {

inline constexpr int kGot = 42;  // exit status of a guest that got what it must not
inline constexpr const char* kSecret = "visited-node-secret";
inline constexpr const char* kSecretSocket = "omig-visited-node-socket";  // abstract
inline constexpr unsigned short kSecretPort = 4711;                       // on loopback
inline constexpr uid_t kHostileUid = 54'322;

// Each returns the program's exit status. `announce` waits until it has been moved.
int forge_replies(void (*announce)());
int odd_births(void (*announce)());

}  // namespace omig::test
