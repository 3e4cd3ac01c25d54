// SPDX-License-Identifier: Apache-2.0
#include "homed/children.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "homed/log.h"

namespace omig {

namespace {

constexpr int kUrgentNice = -10;
constexpr int kInherit = -100;  // not a priority: leave it

[[noreturn]] void fail(int report) {
  const int code = errno;
  [[maybe_unused]] const ssize_t put = write(report, &code, sizeof(code));
  _exit(127);
}

// Between fork and exec: only system calls. Failure is reported through `report`, which exec closes.
[[noreturn]] void become(char* const* argv, char* const* envp, const char* log_path, std::span<int> passed, int output,
                         int report, int nice, std::span<const Fd> joined) {
  for (const Fd& group : joined)
    if (write(group.get(), "0", 1) != 1) fail(report);
  if (nice >= -20) setpriority(PRIO_PROCESS, 0, nice);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int signal = 1; signal < 65; ++signal) ::signal(signal, SIG_DFL);
  setsid();
  // Out of the way of 0, 1, 2, 3... first, or one dup2 would overwrite the source of another.
  report = fcntl(report, F_DUPFD_CLOEXEC, 10);
  for (int& each : passed) each = fcntl(each, F_DUPFD_CLOEXEC, 10);
  if (output >= 0) output = fcntl(output, F_DUPFD_CLOEXEC, 10);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  dup2(null, 0);
  dup2(output >= 0 ? output : null, 1);
  dup2(log >= 0 ? log : null, 2);
  int next = 3;
  for (const int each : passed) {
    dup2(each, next);
    fcntl(next, F_SETFL, fcntl(next, F_GETFL) & ~O_NONBLOCK);
    ++next;
  }
  close_range(static_cast<unsigned>(next), ~0u, CLOSE_RANGE_CLOEXEC);
  execve(argv[0], argv, envp);
  fail(report);
}

}  // namespace

Fd secret_file(const std::string& text) {
  Fd file(memfd_create("secret", MFD_CLOEXEC));
  if (file && pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) file.reset();
  return file;
}

Children::Children(asio::io_context& io, std::string state_dir)
    : io_(io), state_dir_(std::move(state_dir)), ordinary_nice_(getpriority(PRIO_PROCESS, 0)), signals_(io, SIGCHLD) {
  // On an overloaded node the daemon that is to relieve it must not wait its turn. Only root may; others do without.
  setpriority(PRIO_PROCESS, 0, kUrgentNice);
  asio::co_spawn(io_, reap(), asio::detached);
}

Children::Started Children::start(const std::vector<std::string>& arguments, std::span<const int> passed, int output,
                                  bool urgent, std::span<const Fd> joined) {
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  // Our own programs never run preloaded, and find the state directory we use.
  const std::string omig_dir = "OMIG_DIR=" + state_dir_;
  std::vector<char*> envp{const_cast<char*>(omig_dir.c_str())};
  for (char** e = environ; *e != nullptr; ++e) {
    if (std::strncmp(*e, "LD_PRELOAD=", 11) != 0 && std::strncmp(*e, "OMIG_DIR=", 9) != 0) envp.push_back(*e);
  }
  envp.push_back(nullptr);
  const std::string log_path = state_dir_ + "/host.log";
  std::vector<int> descriptors(passed.begin(), passed.end());
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return {-1, std::string("pipe: ") + std::strerror(errno)};
  const pid_t pid = fork();
  if (pid == 0)
    become(argv.data(), envp.data(), log_path.c_str(), descriptors, output, report[1],
           urgent ? kInherit : ordinary_nice_, joined);
  const int fork_code = errno;
  close(report[1]);
  const Fd status(report[0]);
  if (pid < 0) return {-1, std::string("fork: ") + std::strerror(fork_code)};
  int code = 0;
  ssize_t got = 0;
  do got = read(status.get(), &code, sizeof(code));
  while (got < 0 && errno == EINTR);
  if (got == sizeof(code)) {
    waitpid(pid, nullptr, 0);
    return {-1, "cannot start " + arguments[0] + ": " + std::strerror(code)};
  }
  running_[pid] = arguments.size() > 1 ? arguments[1] : arguments[0];
  return {pid, ""};
}

awaitable<std::optional<std::string>> Children::output_of(const std::vector<std::string>& argv,
                                                          std::span<const int> passed, milliseconds timeout,
                                                          std::string* error) {
  using namespace asio::experimental::awaitable_operators;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    *error = std::string("pipe: ") + std::strerror(errno);
    co_return std::nullopt;
  }
  asio::readable_pipe pipe(io_, ends[0]);
  Fd write_end(ends[1]);
  const Started child = start(argv, passed, write_end.get(), true);
  write_end.reset();
  if (child.pid < 0) {
    *error = child.error;
    co_return std::nullopt;
  }
  std::string text;
  asio::steady_timer timer(io_, timeout);
  auto result = co_await (asio::async_read(pipe, asio::dynamic_buffer(text, 1 << 20), kCompletion) ||
                          timer.async_wait(kCompletion));
  if (result.index() == 1) {
    if (running(child.pid)) kill(child.pid, SIGKILL);
    *error = "timeout";
    co_return std::nullopt;
  }
  co_return text;
}

awaitable<void> Children::reap() {
  for (;;) {
    const auto [code, signal] = co_await signals_.async_wait(kCompletion);
    if (code) co_return;
    for (;;) {
      int status = 0;
      const pid_t pid = waitpid(-1, &status, WNOHANG);
      if (pid <= 0) break;
      const auto it = running_.find(pid);
      if (it == running_.end()) continue;
      if (WIFSIGNALED(status))
        log("omig-host {} (pid {}) died of signal {}; see host.log", it->second, pid, WTERMSIG(status));
      running_.erase(it);
    }
  }
}

}  // namespace omig
