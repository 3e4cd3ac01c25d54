// SPDX-License-Identifier: Apache-2.0
// Rows: the machine as a whole, and the numbers that Linux never gave to anything.
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr std::string_view kMachine = "Acts on the home machine; rare.";
constexpr std::string_view kUnimplemented = "Linux on x86-64 itself answers ENOSYS.";

constexpr Row kRows[] = {
    harmless(home(63, "uname", never, {out(390)})),
    harmless(home(99, "sysinfo", never, {out(112)}, "The home machine's.")),
    home(103, "syslog", restartable, {num, code, num}),
    home(153, "vhangup", never),
    home(163, "acct", never, {path}),
    home(170, "sethostname", never, {in_by(1, 64), num}),
    home(171, "setdomainname", never, {in_by(1, 64), num}),
    local(318, "getrandom", restartable),

    come_home(134, "uselib", "Maps a library at a place of its own choosing."),
    come_home(167, "swapon", kMachine),
    come_home(168, "swapoff", kMachine),
    come_home(169, "reboot", kMachine),
    come_home(175, "init_module", kMachine),
    come_home(176, "delete_module", kMachine),
    come_home(212, "lookup_dcookie", "Gone since Linux 6.7."),
    come_home(246, "kexec_load", kMachine),
    come_home(298, "perf_event_open", "Counts on the processor that the program runs on."),
    come_home(313, "finit_module", kMachine),
    come_home(320, "kexec_file_load", kMachine),
    come_home(321, "bpf", "Its structures depend on the command."),

    absent(156, "_sysctl", kUnimplemented),
    absent(174, "create_module", kUnimplemented),
    absent(177, "get_kernel_syms", kUnimplemented),
    absent(178, "query_module", kUnimplemented),
    absent(180, "nfsservctl", kUnimplemented),
    absent(181, "getpmsg", kUnimplemented),
    absent(182, "putpmsg", kUnimplemented),
    absent(183, "afs_syscall", kUnimplemented),
    absent(184, "tuxcall", kUnimplemented),
    absent(185, "security", kUnimplemented),
    absent(236, "vserver", kUnimplemented),
};

}  // namespace

std::span<const Row> system_rows() { return kRows; }

}  // namespace omig::syscalls
