// SPDX-License-Identifier: Apache-2.0
// Rows: the address space, which the guest has to itself, and futexes, which live in it.
#include "lib/syscalls/rows.h"

namespace omig::syscalls {
namespace {

using namespace dsl;

constexpr std::string_view kShared = "Memory shared with other processes stays at home.";
constexpr std::string_view kLocked = "Locked memory stays at home.";
constexpr std::string_view kKeys = "Protection keys are not carried.";
constexpr std::string_view kNuma = "Memory policy is a matter of home's nodes.";

constexpr Row kRows[] = {
    special(9, "mmap", never, {num, num, num, num, fd, num},
            "Private anonymous memory is local. A private file mapping is made from home's file; shared ones are made "
            "at home, and "
            "travel from there as long as one process alone uses them."),
    local(10, "mprotect"),
    local(11, "munmap"),
    local(12, "brk"),
    local(25, "mremap"),
    special(26, "msync", never, {},
            "Local, but for a shared mapping of a file: the program goes home, and so does what it has written."),
    local(27, "mincore"),
    special(28, "madvise", never, {},
            "Local; the host takes note of what a move has to carry (DONTFORK, WIPEONFORK, DONTDUMP, guards)."),
    come_home(29, "shmget", kShared),
    come_home(30, "shmat", kShared),
    come_home(31, "shmctl", kShared),
    come_home(67, "shmdt", kShared),
    come_home(149, "mlock", kLocked),
    come_home(150, "munlock", kLocked),
    come_home(151, "mlockall", kLocked),
    come_home(152, "munlockall", kLocked),
    local(202, "futex", restartable),
    come_home(216, "remap_file_pages", "Only on shared file mappings, which stay at home."),
    come_home(237, "mbind", kNuma),
    come_home(238, "set_mempolicy", kNuma),
    home(239, "get_mempolicy", never, {code, code, num, num, num},
         "The thread's own policy; a question about an address comes home."),
    come_home(256, "migrate_pages", kNuma),
    come_home(279, "move_pages", kNuma),
    come_home(323, "userfaultfd", "Its events are home's, its pages would be the guest's."),
    local(324, "membarrier"),
    come_home(325, "mlock2", kLocked),
    come_home(329, "pkey_mprotect", kKeys),
    come_home(330, "pkey_alloc", kKeys),
    come_home(331, "pkey_free", kKeys),
    come_home(440, "process_madvise", "One process advises on another's memory: both must be at home."),
    come_home(447, "memfd_secret", "Its pages cannot be carried."),
    come_home(448, "process_mrelease", "One process acts on another's memory: both must be at home."),
    local(449, "futex_waitv", restartable),
    come_home(450, "set_mempolicy_home_node", kNuma),
    come_home(453, "map_shadow_stack", "Shadow stacks are not carried."),
    local(454, "futex_wake"),
    local(455, "futex_wait", restartable),
    local(456, "futex_requeue"),
    come_home(462, "mseal", "A sealed mapping could not be moved home."),
};

}  // namespace

std::span<const Row> memory_rows() { return kRows; }

}  // namespace omig::syscalls
