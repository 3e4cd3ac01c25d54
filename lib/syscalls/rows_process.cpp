// SPDX-License-Identifier: Apache-2.0
// Rows: processes and threads, their scheduling and their limits.
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr u32 kRusageBytes = 144;
constexpr std::string_view kDebugger = "One process looks into another: both must be at home.";
constexpr std::string_view kNamespaces = "Changes what the program itself lives in.";
constexpr std::string_view kDeputyScheduling = "The deputy's own value at home.";

constexpr Row kRows[] = {
    local(24, "sched_yield"),
    local(39, "getpid", never, "The guest's pid namespace gives it home's number."),
    traced(
        56, "clone", never, {num, num, num, num, num},
        "A process is forked at home first; a thread gets its deputy thread first. Then the guest's own call goes on."),
    traced(57, "fork", never, {}, "Forked at home first, then here with the same pid."),
    traced(58, "vfork", never, {}, "Forked at home first, then here with the same pid."),
    special(59, "execve", never, {path, code, code}, "Executed by the deputy at home; the visit ends there."),
    special(60, "exit", never, {num}, "The thread's deputy ends as well."),
    home(61, "wait4", restartable, {num, out_if_positive(4), num, out_if_positive(kRusageBytes)},
         "Children are home's, wherever they run."),
    harmless(home(97, "getrlimit", never, {num, out(16)})),
    harmless(
        home(98, "getrusage", never, {num, out(kRusageBytes)},
             "CPU time is what it has used on all nodes, its children's as well; the other figures are the deputy's.")),
    come_home(101, "ptrace", kDebugger),
    home(109, "setpgid", never, {num, num}),
    harmless(home(110, "getppid", never)),
    harmless(home(111, "getpgrp", never)),
    home(112, "setsid", never),
    harmless(home(121, "getpgid", never, {num})),
    harmless(home(124, "getsid", never, {num})),
    home(135, "personality", never, {code}, "Asking is served; changing it comes home."),
    harmless(home(140, "getpriority", never, {num, num}, kDeputyScheduling)),
    home(141, "setpriority", never, {num, num, num}, kDeputyScheduling),
    home(142, "sched_setparam", never, {num, code}, "A real-time priority comes home."),
    harmless(home(143, "sched_getparam", never, {num, out(4)}, kDeputyScheduling)),
    home(144, "sched_setscheduler", never, {num, num, code}, "A real-time policy comes home."),
    harmless(home(145, "sched_getscheduler", never, {num}, kDeputyScheduling)),
    local(146, "sched_get_priority_max"),
    local(147, "sched_get_priority_min"),
    harmless(home(148, "sched_rr_get_interval", never, {num, out(16)}, kDeputyScheduling)),
    special(157, "prctl", never, {num, code, num, num, num},
            "By option: names and the like here and at home, the rest at home; options about memory come home."),
    special(158, "arch_prctl", never, {code, num}, "Here; asking for AMX (ARCH_REQ_XCOMP_PERM) comes home."),
    special(160, "setrlimit", never, {num, in(16)}, "Limits that act on memory are set here as well."),
    local(186, "gettid", never, "The guest's pid namespace gives it home's number."),
    home(203, "sched_setaffinity", never, {num, num, code}, kDeputyScheduling),
    harmless(home(204, "sched_getaffinity", never, {num, num, out_by(1, 4096)}, kDeputyScheduling)),
    local(218, "set_tid_address"),
    special(231, "exit_group", never, {num}, "The deputy ends with the same status."),
    home(247, "waitid", restartable, {num, num, code, num, code}, "Children are home's, wherever they run."),
    home(251, "ioprio_set", never, {num, num, num}),
    harmless(home(252, "ioprio_get", never, {num, num})),
    local(273, "set_robust_list"),
    local(274, "get_robust_list"),
    special(302, "prlimit64", never, {num, num, in(16), out(16)}, "Limits that act on memory are set here as well."),
    local(309, "getcpu"),
    home(314, "sched_setattr", never, {num, code, num}, "A real-time or deadline policy comes home."),
    harmless(home(315, "sched_getattr", never, {num, cap_by(2, 4096), num, num}, kDeputyScheduling)),
    special(322, "execveat", never, {fd, path, code, code, num},
            "Executed by the deputy at home; the visit ends there."),
    local(334, "rseq"),
    home(434, "pidfd_open", never, {num, num}),
    absent(435, "clone3", "Answered as by a kernel without it: libraries fall back to clone."),
    home(438, "pidfd_getfd", never, {fd, num, num}),

    come_home(272, "unshare", kNamespaces),
    come_home(308, "setns", kNamespaces),
    come_home(310, "process_vm_readv", kDebugger),
    come_home(311, "process_vm_writev", kDebugger),
    come_home(312, "kcmp", kDebugger),
    come_home(317, "seccomp", "A filter of the program's own binds its deputy too."),
    come_home(154, "modify_ldt", "State of the processor that is not carried."),
    come_home(172, "iopl", "State of the processor that is not carried."),
    come_home(173, "ioperm", "State of the processor that is not carried."),
    come_home(205, "set_thread_area", "State of the processor that is not carried."),
    come_home(211, "get_thread_area", "State of the processor that is not carried."),
    come_home(335, "uretprobe", "Reserved for the kernel's own probes."),
    come_home(336, "uprobe", "Reserved for the kernel's own probes."),
};

}  // namespace

std::span<const Row> process_rows() { return kRows; }

}  // namespace omig::syscalls
