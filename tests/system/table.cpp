// SPDX-License-Identifier: Apache-2.0
#include "tests/system/table.h"

namespace omig::test {

namespace {

constexpr Program kPrograms[] = {
    {.name = "memory_brk"},
    {.name = "memory_busy_writer"},
    {.name = "memory_deep_stack"},
    {.name = "memory_dlopen"},
    {.name = "memory_generated_code"},
    {.name = "memory_guard_page"},
    {.name = "memory_heap", .core = true},
    {.name = "memory_layout", .core = true},
    {.name = "memory_locked", .stays = "locked memory"},
    {.name = "memory_madvise"},
    {.name = "memory_map_file_away"},
    {.name = "memory_private_file"},
    {.name = "memory_registers", .core = true},
    {.name = "memory_reservation"},
    {.name = "memory_shared_anonymous", .stays = "shared anonymous memory"},
    {.name = "memory_shared_appears_away"},
    {.name = "memory_shared_file", .stays = "shared writable mapping"},
    {.name = "memory_tls"},
    {.name = "memory_vectors", .core = true},
    {.name = "processes_blocked_wait"},
    {.name = "processes_deaths", .core = true},
    {.name = "processes_die_by_abort"},
    {.name = "processes_die_by_kill"},
    {.name = "processes_die_by_segv"},
    {.name = "processes_exec", .core = true},
    {.name = "processes_exec_script"},
    {.name = "processes_exit_handlers"},
    {.name = "processes_family", .core = true},
    {.name = "processes_fork_storm"},
    {.name = "processes_fork_threads"},
    {.name = "processes_fork_wait", .core = true},
    {.name = "processes_groups"},
    {.name = "processes_orphan"},
    {.name = "processes_pidfd"},
    {.name = "processes_shell", .core = true},
    {.name = "processes_spawn"},
    {.name = "processes_usage"},
    {.name = "processes_vfork"},
    {.name = "processes_wait_options"},
    {.name = "threads_arenas"},
    {.name = "threads_barrier"},
    {.name = "threads_blocked_join"},
    {.name = "threads_cancel"},
    {.name = "threads_churn"},
    {.name = "threads_condition"},
    {.name = "threads_exec_from_thread"},
    {.name = "threads_exit_group"},
    {.name = "threads_identity", .core = true},
    {.name = "threads_join"},
    {.name = "threads_many"},
    {.name = "threads_mutex", .core = true},
    {.name = "threads_names"},
    {.name = "threads_parallel_calls"},
    {.name = "threads_priority_inheritance"},
    {.name = "threads_robust"},
    {.name = "threads_rwlock"},
    {.name = "threads_semaphore"},
    {.name = "threads_timed_waits"},
};

}  // namespace

std::span<const Program> programs() { return kPrograms; }

}  // namespace omig::test
