// SPDX-License-Identifier: Apache-2.0
// Rows: waiting for descriptors, and the descriptors that are events.
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr u32 kEpollEventBytes = 12;  // packed on x86-64
constexpr std::string_view kMask = "The host applies the signal mask in the guest; home waits without one.";
constexpr std::string_view kSignalfd =
    "The host keeps the mask's signals pending at home, where the descriptor reads them.";

constexpr Row kRows[] = {
    harmless(home(7, "poll", block, {code, num, num})),
    harmless(home(23, "select", no_hand, {num, code, code, code, code})),
    home(213, "epoll_create", never, {num}),
    absent(214, "epoll_ctl_old", "Never implemented by Linux."),
    absent(215, "epoll_wait_old", "Never implemented by Linux."),
    home(232, "epoll_wait", always_eintr, {fd, array_out(2, kEpollEventBytes), num, num}),
    home(233, "epoll_ctl", never, {fd, num, fd, in(kEpollEventBytes)}),
    home(253, "inotify_init", never),
    home(254, "inotify_add_watch", never, {fd, path, num}),
    home(255, "inotify_rm_watch", never, {fd, num}),
    harmless(home(270, "pselect6", no_hand, {num, code, code, code, code, code}, kMask)),
    harmless(home(271, "ppoll", no_hand, {code, num, code, code, num}, kMask)),
    home(281, "epoll_pwait", always_eintr, {fd, code, num, num, code, num}, kMask),
    special(282, "signalfd", never, {fd, in(8), num}, kSignalfd),
    home(283, "timerfd_create", never, {num, num}),
    home(284, "eventfd", never, {num}),
    home(286, "timerfd_settime", never, {fd, num, in(32), out(32)},
         "Absolute times are home's clocks, which the guest shares by its time namespace."),
    harmless(home(287, "timerfd_gettime", never, {fd, out(32)})),
    special(289, "signalfd4", never, {fd, in(8), num, num}, kSignalfd),
    home(290, "eventfd2", never, {num, num}),
    home(291, "epoll_create1", never, {num}),
    home(294, "inotify_init1", never, {num}),
    home(300, "fanotify_init", never, {num, num}),
    home(301, "fanotify_mark", never, {fd, num, num, fd, path}),
    home(441, "epoll_pwait2", always_eintr, {fd, code, num, in(16), code, num}, kMask),
};

}  // namespace

std::span<const Row> event_rows() { return kRows; }

}  // namespace omig::syscalls
