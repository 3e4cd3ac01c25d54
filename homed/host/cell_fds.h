// SPDX-License-Identifier: Apache-2.0
// The descriptors that the host's helper hands to omig-stub, by number.
#pragma once

namespace omig::host {

inline constexpr int kCellHelper = 3;   // the stub tells INIT's pid
inline constexpr int kCellInit = 4;     // int N -> ns_last_pid = N (N < 0: only reap); answers 0 or -errno
inline constexpr int kCellLastPid = 5;  // /proc/sys/kernel/ns_last_pid
inline constexpr int kCellEngine = 6;   // omig-engine
inline constexpr int kCellGo = 7;       // the guest waits for one byte: its tracer is attached
inline constexpr int kCellFiles = 100;  // files of the image that this node has, 100 + index

}  // namespace omig::host
