// SPDX-License-Identifier: Apache-2.0
// The waits with a time-out that omig-bench-waits measures, in the order in which it prints them.
#pragma once

namespace omig::bench {

inline constexpr double kWaitSeconds = 2.5;
inline constexpr const char* kWaits[] = {
    "nanosleep",
    "clock_nanosleep to a time",
    "poll",
    "ppoll",
    "select",
    "pselect",
    "epoll_wait",
    "epoll_pwait2",
    "sigtimedwait",
    "futex, relative",
    "futex, absolute",
    "semtimedop",
    "mq_timedreceive",
    "recv, SO_RCVTIMEO",
    "read, SO_RCVTIMEO",
    "accept, SO_RCVTIMEO",
    "send, SO_SNDTIMEO",
    "timerfd read",
};
inline constexpr int kWaitKinds = sizeof kWaits / sizeof kWaits[0];

}  // namespace omig::bench
