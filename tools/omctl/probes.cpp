// SPDX-License-Identifier: Apache-2.0
// The probes behave as the real thing does: an ordinary user gets a user namespace first, pid namespaces are entered by
// a fork, the seccomp notification is really answered. A kernel that has a call but forbids it here fails the probe.
#include "tools/omctl/probes.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>

#include "lib/abi/landlock.h"
#include "lib/base/types.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace omig {

namespace {

constexpr int kWrong = 200;  // exit status: the call worked, the result is not right

// Runs the probe in a child; its result is an errno, kWrong, or 0. A child that hangs is killed after five seconds.
int try_out(const std::function<int()>& probe) {
  const pid_t pid = fork();
  if (pid < 0) return errno;
  if (pid == 0) {
    alarm(5);
    _exit(probe());
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGALRM ? ETIMEDOUT : kWrong;
  return WEXITSTATUS(status);
}

int code_of(bool ok) { return ok ? 0 : errno == 0 ? kWrong : errno; }

int enter_user_namespace() { return geteuid() == 0 ? 0 : code_of(unshare(CLONE_NEWUSER) == 0); }

int try_namespace(int flag) {
  if (const int code = enter_user_namespace()) return code;
  return code_of(unshare(flag) == 0);
}

// Runs `inside` as pid 1 of a fresh pid namespace.
int in_pid_namespace(const std::function<int()>& inside) {
  if (const int code = try_namespace(CLONE_NEWPID)) return code;
  return try_out(inside);
}

int try_set_tid() {
  return in_pid_namespace([] {
    pid_t wanted = 4711;
    clone_args args{};
    args.exit_signal = SIGCHLD;
    args.set_tid = reinterpret_cast<u64>(&wanted);
    args.set_tid_size = 1;
    const long pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) _exit(0);
    if (pid < 0) return errno;
    return pid == wanted ? 0 : kWrong;
  });
}

int try_last_pid() {
  return in_pid_namespace([] {
    const int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "4710", 4) != 4) return errno;
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    return pid == 4711 ? 0 : kWrong;
  });
}

int try_time_namespace() {
  if (const int code = try_namespace(CLONE_NEWTIME)) return code;
  // An ordinary user's offsets are his to write only with his own user namespace mapped; the file says so.
  const int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
  return code_of(fd >= 0 && write(fd, "monotonic 5 0\n", 14) == 14);
}

int new_listener() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{4, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program));
}

// The child shares our descriptors, so that the listener it gets is ours as well.
int try_listener() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  clone_args args{};
  args.flags = CLONE_FILES;
  args.exit_signal = SIGCHLD;
  const long pid = syscall(SYS_clone3, &args, sizeof(args));
  if (pid < 0) return errno;
  if (pid == 0) {
    alarm(5);
    int result = new_listener();
    if (result < 0) result = -errno;
    if (write(ends[1], &result, sizeof(result)) != sizeof(result) || result < 0) _exit(1);
    _exit(syscall(SYS_getppid) == 4711 ? 0 : kWrong);
  }
  int listener = -1;
  if (read(ends[0], &listener, sizeof(listener)) != sizeof(listener)) return kWrong;
  if (listener < 0) return -listener;
  seccomp_notif request{};
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) return errno;
  seccomp_notif_resp response{};
  response.id = request.id;
  response.val = 4711;
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) != 0) return errno;
  int status = 0;
  waitpid(static_cast<pid_t>(pid), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kWrong;
}

// Newer than some systems' headers (Linux 6.7).
struct PageRegion {
  u64 start, end, categories;
};
struct PagemapScan {
  u64 size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, category_mask, anyof_mask, return_mask;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, PagemapScan);
constexpr u64 kPageIsPresent = 1 << 3;

int try_pagemap_scan() {
  auto* page = static_cast<char*>(mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  *page = 1;
  const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  PageRegion region{};
  PagemapScan scan{};
  scan.size = sizeof(scan);
  scan.start = reinterpret_cast<u64>(page);
  scan.end = scan.start + kPageSize;
  scan.vec = reinterpret_cast<u64>(&region);
  scan.vec_len = 1;
  scan.category_mask = scan.return_mask = kPageIsPresent;
  const int found = ioctl(fd, kPagemapScan, &scan);
  if (found < 0) return errno;
  return found == 1 && region.start == scan.start ? 0 : kWrong;
}

// A process that only waits, to be traced or read.
pid_t start_sleeper() {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) pause();
}

int try_ptrace() {
  const pid_t pid = start_sleeper();
  int status = 0;
  int code = code_of(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0);
  if (code == 0) code = code_of(ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0);
  if (code == 0 && (waitpid(pid, &status, __WALL) != pid || status >> 8 != (SIGTRAP | PTRACE_EVENT_STOP << 8)))
    code = kWrong;
  kill(pid, SIGKILL);
  return code;
}

int try_process_memory() {
  static u64 value = 4711;
  const pid_t pid = start_sleeper();
  u64 read = 0;
  const iovec local{&read, sizeof(read)};
  const iovec remote{&value, sizeof(value)};
  const bool ok = process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof(read) && read == value;
  const int code = code_of(ok);
  kill(pid, SIGKILL);
  return code;
}

int try_landlock(long version) {
  const long here = abi::landlock_version();
  if (here <= 0) return errno;
  return here >= version ? 0 : ENOSYS;
}

int try_io_uring() {
  char parameters[256] = {};  // larger than struct io_uring_params
  return code_of(syscall(SYS_io_uring_setup, 1, parameters) >= 0);
}

int try_userfaultfd() { return code_of(syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* user mode only */) >= 0); }

Probe probe(const char* name, bool needed, const char* cure, const std::function<int()>& what) {
  const int code = try_out(what);
  Probe result{name, needed, code == 0, "", ""};
  if (code == 0) return result;
  result.detail = code == kWrong ? "works, but not as it should" : std::strerror(code);
  result.cure = cure;
  return result;
}

}  // namespace

std::vector<Probe> probe_kernel() {
  const auto space = [](int flag) { return [flag] { return try_namespace(flag); }; };
  constexpr const char* kUser =
      "allow user namespaces: sysctl user.max_user_namespaces=10000 (also kernel.unprivileged_userns_clone=1, "
      "kernel.apparmor_restrict_unprivileged_userns=0 where they exist); in a container: a profile that allows unshare";
  constexpr const char* kSpace = "a kernel with this namespace compiled in, and user namespaces or root";
  return {
      probe("user namespace", true, kUser, [] { return code_of(unshare(CLONE_NEWUSER) == 0); }),
      probe("pid namespace", true, kSpace, space(CLONE_NEWPID)),
      probe("mount namespace", true, kSpace, space(CLONE_NEWNS)),
      probe("network namespace", true, kSpace, space(CLONE_NEWNET)),
      probe("ipc namespace", true, kSpace, space(CLONE_NEWIPC)),
      probe("time namespace", true, "Linux 5.6 or later with CONFIG_TIME_NS", try_time_namespace),
      probe("clone3 with set_tid", true, "Linux 5.5 or later; a container must not filter clone3", try_set_tid),
      probe("ns_last_pid", true, "CONFIG_CHECKPOINT_RESTORE; /proc/sys must be writable (not so in many containers)",
            try_last_pid),
      probe("seccomp notification", true,
            "Linux 5.19 or later (WAIT_KILLABLE_RECV); a container must not filter seccomp", try_listener),
      probe("PAGEMAP_SCAN", true, "Linux 6.7 or later", try_pagemap_scan),
      probe("ptrace", true, "sysctl kernel.yama.ptrace_scope=1 or 0; in a container: --cap-add SYS_PTRACE", try_ptrace),
      probe("process_vm_readv", true, "sysctl kernel.yama.ptrace_scope=1 or 0; in a container: --cap-add SYS_PTRACE",
            try_process_memory),
      probe("Landlock", false,
            "Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK, and landlock in the boot parameter lsm=; without it "
            "guests "
            "are behind one wall instead of two",
            [] { return try_landlock(1); }),
      probe("Landlock scopes", false,
            "Linux 6.12 or later; without them a host that a guest breaks into could signal its user's processes",
            [] { return try_landlock(6); }),
      probe("io_uring", false, "sysctl kernel.io_uring_disabled=0; without it links use plain calls", try_io_uring),
      probe("userfaultfd", false, "CONFIG_USERFAULTFD; without it there is no pre-copy", try_userfaultfd),
  };
}

}  // namespace omig
