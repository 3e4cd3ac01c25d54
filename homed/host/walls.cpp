// SPDX-License-Identifier: Apache-2.0
#include "homed/host/walls.h"

#include <errno.h>
#include <fmt/format.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>
#include <stdexcept>

#include "lib/abi/landlock.h"

namespace omig::host {
namespace {

// Programs, namespaces and mounts, the kernel's larger doors, keys, the machine's settings, other sockets than links.
// Not among them: what serving needs (ptrace, process_vm_*, clone for threads, files of the state directory).
constexpr int kGivenUp[] = {
    SYS_execve,      SYS_execveat,        SYS_unshare,        SYS_setns,          SYS_mount,
    SYS_umount2,     SYS_pivot_root,      SYS_chroot,         SYS_open_tree,      SYS_move_mount,
    SYS_fsopen,      SYS_fsconfig,        SYS_fsmount,        SYS_fspick,         SYS_mount_setattr,
    SYS_init_module, SYS_finit_module,    SYS_delete_module,  SYS_kexec_load,     SYS_kexec_file_load,
    SYS_bpf,         SYS_perf_event_open, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_userfaultfd, SYS_keyctl,          SYS_add_key,        SYS_request_key,    SYS_name_to_handle_at,
    SYS_swapon,      SYS_swapoff,         SYS_reboot,         SYS_acct,           SYS_open_by_handle_at,
    SYS_quotactl,    SYS_syslog,          SYS_settimeofday,   SYS_clock_settime,  SYS_clock_adjtime,
    SYS_adjtimex,    SYS_sethostname,     SYS_setdomainname,  SYS_iopl,           SYS_ioperm,
    SYS_modify_ldt,  SYS_personality,     SYS_fanotify_init,  SYS_mknod,          SYS_mknodat,
    SYS_symlink,     SYS_symlinkat,       SYS_link,           SYS_linkat,         SYS_setuid,
    SYS_setgid,      SYS_setreuid,        SYS_setregid,       SYS_setresuid,      SYS_setresgid,
    SYS_setgroups,   SYS_setfsuid,        SYS_setfsgid,       SYS_capset,         SYS_socketpair,
    SYS_bind,        SYS_listen,          SYS_fork,           SYS_vfork,          SYS_shmget,
    SYS_shmat,       SYS_msgget,          SYS_semget,         SYS_mq_open,        SYS_memfd_secret,
    SYS_move_pages,  SYS_migrate_pages,   SYS_lookup_dcookie, SYS_vhangup,        SYS_nfsservctl,
};

void check(int result, const char* what) {
  if (result < 0) throw std::runtime_error(fmt::format("the host's seccomp program: {}: {}", what, strerror(-result)));
}

}  // namespace

void give_up_the_others() {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const rlimit no_core{0, 0};  // its memory has tokens and what its guests have
  setrlimit(RLIMIT_CORE, &no_core);
  // Files must stay: the guest's room is made of mounts, which a process with rules about files may not make, and a
  // tracer's own rules must be the guest's as well.
  if (abi::landlock_version() >= 6) abi::landlock({0, 0, abi::kLandlockScopes});
}

void give_up_calls() {
  // Guests of a root homed have its uid: it must not be theirs to trace.
  prctl(PR_SET_DUMPABLE, 0);
  const std::unique_ptr<void, decltype(&seccomp_release)> context{seccomp_init(SCMP_ACT_ALLOW), &seccomp_release};
  if (!context) throw std::runtime_error("the host's seccomp program: out of memory");
  check(seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "foreign architectures");
  for (const int nr : kGivenUp) check(seccomp_rule_add(context.get(), SCMP_ACT_ERRNO(EPERM), nr, 0), "refusing a call");
  check(seccomp_rule_add(context.get(), SCMP_ACT_ERRNO(EPERM), SYS_socket, 1, SCMP_A0(SCMP_CMP_NE, AF_INET)),
        "refusing sockets");
  check(seccomp_load(context.get()), "loading it");
}

}  // namespace omig::host
