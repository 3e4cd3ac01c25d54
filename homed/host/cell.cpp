// SPDX-License-Identifier: Apache-2.0
#include "homed/host/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

#include "homed/host/cell_fds.h"
#include "homed/host/proc.h"
#include "lib/base/paths.h"

namespace omig::host {

long guest_trace_options() {
  return PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
         PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP;
}

namespace {

[[noreturn]] void helper_fails(const char* what) {
  dprintf(2, "omig-host: helper: %s: %s (see omctl doctor)\n", what, strerror(errno));
  _exit(20);
}

void write_proc(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text.data(), text.size()) < 0) helper_fails(path);
  close(fd);
}

// In the forked child, which is single threaded: becomes the stub in a user namespace of its own.
[[noreturn]] void be_helper(const CellRequest& request, int helper, int init, int go, int engine,
                            const std::string& stub) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int group : request.groups)
    if (write(group, "0", 1) != 1) helper_fails("entering the guests' cgroup");
  for (int number = 1; number < NSIG; ++number)
    signal(number, SIG_DFL);  // ignored ones survive exec: they would be the guest's
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  int last_pid = open("/proc/sys/kernel/ns_last_pid", O_RDWR | O_CLOEXEC);
  if (last_pid < 0) helper_fails("/proc/sys/kernel/ns_last_pid");
  // Out of the way of the fixed numbers first, then into them; dup2 clears CLOEXEC.
  const int base = kCellFiles + static_cast<int>(request.files.size()) + 10;
  std::vector<int> files(request.files.size(), -1);
  for (int* fd : {&helper, &init, &go, &engine, &last_pid}) *fd = fcntl(*fd, F_DUPFD_CLOEXEC, base);
  for (size_t i = 0; i < files.size(); ++i) {
    if (request.files[i] >= 0) files[i] = fcntl(request.files[i], F_DUPFD_CLOEXEC, base);
  }
  dup2(helper, kCellHelper);
  dup2(init, kCellInit);
  dup2(last_pid, kCellLastPid);
  dup2(engine, kCellEngine);
  dup2(go, kCellGo);
  close_range(kCellGo + 1, kCellFiles - 1, 0);
  for (size_t i = 0; i < files.size(); ++i) {
    const int to = kCellFiles + static_cast<int>(i);
    if (files[i] >= 0) {
      if (dup2(files[i], to) < 0) helper_fails("dup2 (too many open files)");
    } else {
      close(to);
    }
  }
  close_range(static_cast<unsigned>(kCellFiles) + static_cast<unsigned>(files.size()), ~0u, 0);
  prctl(PR_SET_DUMPABLE, 1);
  // A node short of memory gives up its visitors first, and them rather than the host that can say what became of them.
  if (const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) {
    [[maybe_unused]] const ssize_t refused_if_more = write(fd, "500", 3);
    close(fd);
  }
  const uid_t uid = getuid();
  const gid_t gid = getgid();
  if (unshare(CLONE_NEWUSER) != 0) helper_fails("unshare user namespace");
  write_proc("/proc/self/uid_map", fmt::format("0 {} 1", uid));
  write_proc("/proc/self/setgroups", "deny");
  write_proc("/proc/self/gid_map", fmt::format("0 {} 1", gid));
  const std::string pid_text = std::to_string(request.pid);
  const char* arguments[] = {"omig-stub", pid_text.c_str(), request.clock_offsets.c_str(), nullptr};
  char* const environment[] = {nullptr};
  execve(stub.c_str(), const_cast<char* const*>(arguments), environment);
  helper_fails(stub.c_str());
}

}  // namespace

void Cell::create(const CellRequest& request) {
  const std::string stub = find_binary("omig-stub"), engine_path = find_binary("omig-engine");
  if (stub.empty() || engine_path.empty())
    throw std::runtime_error("omig-stub or omig-engine is missing: reinstall omig");
  int helper[2], init_pair[2], go[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, helper) != 0 ||
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, init_pair) != 0 || pipe2(go, O_CLOEXEC) != 0) {
    throw std::runtime_error(fmt::format("socketpair: {}", strerror(errno)));
  }
  Fd helper_here(helper[0]), helper_there(helper[1]), init_there(init_pair[1]), go_there(go[0]), go_here(go[1]);
  init_socket_.reset(init_pair[0]);
  const Fd engine(open(engine_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!engine) throw std::runtime_error(fmt::format("{}: {}", engine_path, strerror(errno)));

  const pid_t child = _Fork();  // we have one thread still; a sanitizer would give the child of fork() another
  if (child < 0) throw std::runtime_error(fmt::format("fork: {}", strerror(errno)));
  if (child == 0) be_helper(request, helper_there.get(), init_there.get(), go_there.get(), engine.get(), stub);
  helper_there.reset();
  init_there.reset();
  go_there.reset();
  int init_pid = 0;
  if (read(helper_here.get(), &init_pid, sizeof init_pid) != sizeof init_pid) {
    waitpid(child, nullptr, 0);
    throw std::runtime_error("cannot make namespaces for a guest here (omctl doctor says why)");
  }
  waitpid(child, nullptr, 0);
  init = init_pid;
  int ready = -1;
  if (read(init_socket_.get(), &ready, sizeof ready) != sizeof ready) throw std::runtime_error("the guest's init died");
  const std::string children = read_file(fmt::format("/proc/{}/task/{}/children", init, init));
  guest = atoi(children.c_str());
  if (guest <= 0) throw std::runtime_error("the guest's init has no child");
  if (ptrace(PTRACE_SEIZE, guest, 0, guest_trace_options()) != 0) {
    throw std::runtime_error(fmt::format("cannot trace the guest: {} (omctl doctor)", strerror(errno)));
  }
  if (write(go_here.get(), "g", 1) != 1) throw std::runtime_error("the guest died");
  for (;;) {
    int status = 0;
    if (waitpid(guest, &status, __WALL) != guest || !WIFSTOPPED(status))
      throw std::runtime_error("the guest died at its start");
    if ((status >> 8) == (SIGTRAP | (PTRACE_EVENT_EXEC << 8))) break;
    ptrace(PTRACE_CONT, guest, 0, 0);
  }
  // The exec call itself still has its exit to report; after it injected calls count their stops right.
  int status = 0;
  ptrace(PTRACE_SYSCALL, guest, 0, 0);
  if (waitpid(guest, &status, __WALL) != guest || !WIFSTOPPED(status))
    throw std::runtime_error("the guest died at its start");
}

int Cell::ask_init(int number) {
  const std::lock_guard one_at_a_time(*asking_);
  int result = -EPIPE;
  if (write(init_socket_.get(), &number, sizeof number) != sizeof number) return -EPIPE;
  if (read(init_socket_.get(), &result, sizeof result) != sizeof result) return -EPIPE;
  return result;
}

bool Cell::choose_next_pid(pid_t pid) { return ask_init(pid - 1) == 0; }
void Cell::reap_inside() { ask_init(-1); }

}  // namespace omig::host
