// SPDX-License-Identifier: Apache-2.0
// Rows: clocks (the guest's, set to home's by its time namespace) and timers (home's, their signals come back).
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr u32 kTimexBytes = 208;
constexpr std::string_view kRealOnly =
    "ITIMER_REAL; the timers of CPU time come home, because the CPU time is the guest's.";

constexpr Row kRows[] = {
    harmless(
        home(35, "nanosleep", block, {in(16), both_always(16)}, "The deputy sleeps: the time left survives moves.")),
    harmless(home(36, "getitimer", never, {code, out(32)}, kRealOnly)),
    home(37, "alarm", never, {num}),
    home(38, "setitimer", never, {code, in(32), out(32)}, kRealOnly),
    local(96, "gettimeofday"),
    harmless(home(100, "times", never, {out(32)}, "What it has used on all nodes; its children's as well.")),
    home(159, "adjtimex", never, {both(kTimexBytes)}),
    home(164, "settimeofday", never, {in(16), in(8)}),
    local(201, "time"),
    home(222, "timer_create", never, {code, code, code},
         "SIGEV_THREAD_ID and clocks of CPU time come home; the others' signals are forwarded."),
    home(223, "timer_settime", never, {num, num, in(32), out(32)}),
    harmless(home(224, "timer_gettime", never, {num, out(32)})),
    harmless(home(225, "timer_getoverrun", never, {num})),
    home(226, "timer_delete", never, {num}),
    home(227, "clock_settime", never, {num, in(16)}),
    harmless(special(228, "clock_gettime", never, {num, out(16)},
                     "Here; the clocks of CPU time go on from home's, another process' are asked at home.")),
    local(229, "clock_getres"),
    harmless(
        home(230, "clock_nanosleep", block, {num, num, in(16), both_always(16)},
             "Until an absolute time (TIMER_ABSTIME): here; for a while: the deputy sleeps, and the time left survives "
             "moves.")),
    home(305, "clock_adjtime", never, {num, both(kTimexBytes)}),
};

}  // namespace

std::span<const Row> time_rows() { return kRows; }

}  // namespace omig::syscalls
