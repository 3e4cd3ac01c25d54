// SPDX-License-Identifier: Apache-2.0
// Rows: signals. Masks, handlers and what is pending are the guest's kernel's; sending goes through home (SIGNALS.md).
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr u32 kSiginfoBytes = 128;
constexpr std::string_view kSending =
    "To itself: queued into the guest with home's pid in it. To others: sent at home.";

constexpr Row kRows[] = {
    special(13, "rt_sigaction", never, {num, in(32), out(32), num},
            "Local, but for setting SIGCHLD's action: ignoring it makes home's kernel reap the children."),
    local(14, "rt_sigprocmask"),
    local(15, "rt_sigreturn"),
    local(34, "pause", no_hand),
    special(62, "kill", never, {num, num}, kSending),
    local(127, "rt_sigpending"),
    traced(128, "rt_sigtimedwait", always_eintr, {}, "Here; the siginfo it reports is put right at its end."),
    special(129, "rt_sigqueueinfo", never, {num, num, in(kSiginfoBytes)}, kSending),
    local(130, "rt_sigsuspend", no_hand),
    local(131, "sigaltstack"),
    special(200, "tkill", never, {num, num}, kSending),
    special(219, "restart_syscall", block, {}, "A sleep that began at home is finished there; anything else here."),
    special(234, "tgkill", never, {num, num, num}, kSending),
    special(297, "rt_tgsigqueueinfo", never, {num, num, num, in(kSiginfoBytes)}, kSending),
    home(424, "pidfd_send_signal", never, {fd, num, in(kSiginfoBytes), num}),
};

}  // namespace

std::span<const Row> signal_rows() { return kRows; }

}  // namespace omig::syscalls
