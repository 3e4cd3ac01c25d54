// SPDX-License-Identifier: Apache-2.0
// omig-stub: a small static program that turns itself into the empty room a guest will live in (GUEST.md, steps 9-19).
//
// The host's helper has made a fresh user namespace and executes this file there, so that a guest's memory is never a
// copy of the host's (which holds tokens), and so that the host, the namespace's owner, may trace it. It makes the
// other namespaces, throws the file system away, and clones INIT (pid 1 of the pid namespace, which lives to write
// ns_last_pid) and, as INIT's child, the GUEST, which becomes the engine's image and waits for its tracer.
//
// Descriptors it is given: see cell.cpp. It says what failed in one line on descriptor 2 (host.log) and exits non-zero.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "homed/host/cell_fds.h"
#include "lib/abi/landlock.h"

namespace {

using namespace omig::host;

constexpr rlim_t kMostTasks = 8192;  // a quarter of the numbers that a machine has at least

void check(long result, const char* what) {
  if (result >= 0) return;
  dprintf(2, "omig-stub: %s: %s\n", what, strerror(errno));
  _exit(20);
}

long clone3(unsigned long flags, int exit_signal, pid_t wanted) {
  clone_args args{};
  args.flags = flags;
  args.exit_signal = static_cast<unsigned long>(exit_signal);
  args.set_tid = reinterpret_cast<unsigned long>(&wanted);
  args.set_tid_size = wanted != 0 ? 1 : 0;
  if (wanted == 0) args.set_tid = 0;
  return syscall(SYS_clone3, &args, sizeof args);
}

void keep_only(unsigned long capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  data[0].effective = data[0].permitted = static_cast<unsigned>(capabilities);
  data[1].effective = data[1].permitted = static_cast<unsigned>(capabilities >> 32);
  check(syscall(SYS_capset, &header, data), "capset");
}

void write_text(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  check(fd, path);
  check(write(fd, text, strlen(text)), path);
  close(fd);
}

void make_room(const char* clock_offsets) {
  check(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWTIME |
                CLONE_NEWCGROUP),
        "unshare (see omctl doctor)");
  if (clock_offsets[0] != 0) write_text("/proc/self/timens_offsets", clock_offsets);
  check(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount private");
  check(mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=0555"),
        "mount empty root");
  check(chdir("/tmp"), "chdir");
  check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
  check(umount2(".", MNT_DETACH), "umount old root");
  check(chdir("/"), "chdir /");
  check(mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr),
        "remount");
  check(sethostname("omig-guest", 10), "sethostname");
  syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr, 0, 0, 0);  // kernels without keyrings have nothing to hide
}

// A second wall around all of the room: no file, no TCP, no signal and no abstract socket outside. A kernel without
// Landlock leaves the first (omctl doctor tells).
void wall_in() {
  const long version = omig::abi::landlock_version();
  if (version <= 0) return;
  using omig::abi::kLandlockExecute, omig::abi::kLandlockReadFile;
  const omig::abi::LandlockPath engine{kLandlockExecute | kLandlockReadFile, kCellEngine};
  check(omig::abi::landlock(omig::abi::landlock_everything(version), &engine) ? 0 : -1, "landlock");
}

// What INIT still does; for anything else it is killed, and the guest with it.
void keep_only_calls() {
  static constexpr unsigned kKept[] = {SYS_read, SYS_write,      SYS_pwrite64,     SYS_wait4,
                                       SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_restart_syscall};
  constexpr unsigned kCount = std::size(kKept);
  sock_filter program[kCount + 5];
  unsigned at = 0;
  program[at++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch));
  program[at++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, kCount + 1);
  program[at++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (unsigned i = 0; i < kCount; ++i) {
    const auto to_allow = static_cast<unsigned char>(kCount - i);
    program[at++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kKept[i], to_allow, 0);
  }
  program[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  program[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog filter{static_cast<unsigned short>(at), program};
  check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0), "seccomp of pid 1");
}

[[noreturn]] void be_guest() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  check(setsid(), "setsid");  // else kill(0) and setpriority would reach the host (GUEST.md leak 1)
  char go = 0;
  check(read(kCellGo, &go, 1) == 1 ? 0 : -1, "host gone");
  char* const arguments[] = {const_cast<char*>("guest"), nullptr};
  char* const environment[] = {nullptr};
  syscall(SYS_execveat, kCellEngine, "", arguments, environment, AT_EMPTY_PATH);
  check(-1, "exec engine");
  _exit(21);
}

// Pid 1: writes the number before the next pid when told, reaps, and dies with the host.
[[noreturn]] void be_init(pid_t guest_pid) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  wall_in();
  // Counted in this user namespace alone: threads and processes of the visit together.
  const rlimit tasks{kMostTasks, kMostTasks};
  check(setrlimit(RLIMIT_NPROC, &tasks), "setrlimit");
  const long guest = clone3(0, SIGCHLD, guest_pid);
  check(guest, "clone guest with its pid");
  if (guest == 0) be_guest();
  close_range(0, kCellInit - 1, 0);
  close_range(kCellInit + 1, kCellLastPid - 1, 0);
  close_range(kCellLastPid + 1, ~0u, 0);
  keep_only(1ul << CAP_CHECKPOINT_RESTORE);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  signal(SIGCHLD, SIG_DFL);
  keep_only_calls();
  const int ready = 0;
  if (write(kCellInit, &ready, sizeof ready) < 0) _exit(0);
  for (;;) {
    int number = 0;
    if (read(kCellInit, &number, sizeof number) != sizeof number) _exit(0);
    char text[16];
    const int length = snprintf(text, sizeof text, "%d", number);
    int result = 0;
    if (number >= 0 && pwrite(kCellLastPid, text, static_cast<size_t>(length), 0) < 0) result = -errno;
    while (waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
    }
    if (write(kCellInit, &result, sizeof result) < 0) _exit(0);
  }
}

}  // namespace

// omig-stub GUEST-PID CLOCK-OFFSETS
int main(int argc, char** argv) {
  if (argc != 3) {
    dprintf(2, "omig-stub: started by omig-host only\n");
    return 2;
  }
  make_room(argv[2]);
  const pid_t guest_pid = atoi(argv[1]);
  const long init = clone3(CLONE_PARENT, 0, 0);
  check(init, "clone init");
  if (init == 0) be_init(guest_pid);
  const int pid = static_cast<int>(init);
  check(write(kCellHelper, &pid, sizeof pid), "tell the host");
  return 0;
}
