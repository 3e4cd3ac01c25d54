// SPDX-License-Identifier: Apache-2.0
#include "tests/system/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace omig::test {

namespace {

// Removed when the test process ends normally; after a crash it stays as evidence.
struct RunRoot {
  fs::path path;
  pid_t owner = getpid();
  RunRoot() {
    std::string pattern = (fs::temp_directory_path() / "omig-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error(fmt::format("mkdtemp {}: {}", pattern, strerror(errno)));
    path = pattern;
    fs::permissions(path, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  }
  ~RunRoot() {
    std::error_code ignored;
    if (owner == getpid() && !getenv("OMIG_TEST_KEEP")) fs::remove_all(path, ignored);
  }
};

int open_for_child(const fs::path& path, int flags) {
  int fd = open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (fd < 0) throw std::runtime_error(fmt::format("cannot open {}: {}", path.string(), strerror(errno)));
  return fd;
}

[[noreturn]] void become(const Command& command, int in, int out, int err) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  for (int number = 1; number < 65; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // Core files would only fill the disk; programs that die on purpose do so hundreds of times.
  rlimit no_core{};
  getrlimit(RLIMIT_CORE, &no_core);
  no_core.rlim_cur = 0;  // a test of cores may raise it again
  setrlimit(RLIMIT_CORE, &no_core);
  for (const auto& [name, value] : command.environment) setenv(name.c_str(), value.c_str(), 1);
  if (!command.directory.empty() && chdir(command.directory.c_str()) != 0) _exit(126);
  std::vector<char*> words;
  for (const std::string& word : command.words) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  dprintf(2, "cannot run %s: %s\n", words[0], strerror(errno));
  _exit(127);
}

}  // namespace

std::string Outcome::describe() const {
  if (timed_out) return "still running after its limit";
  if (WIFEXITED(status)) return fmt::format("exit {}", WEXITSTATUS(status));
  if (WIFSIGNALED(status)) return fmt::format("killed by signal {}", WTERMSIG(status));
  return fmt::format("status {:#x}", status);
}

Child::Child(const Command& command, const fs::path& run_directory) : run_directory_(run_directory) {
  fs::path input = "/dev/null";
  if (!command.input.empty()) {
    input = run_directory / "stdin";
    std::ofstream(input) << command.input;
  }
  int in = open_for_child(input, O_RDONLY);
  int out = open_for_child(run_directory / "stdout", O_WRONLY | O_CREAT | O_TRUNC);
  int err = open_for_child(run_directory / "stderr", O_WRONLY | O_CREAT | O_TRUNC);
  pid_ = fork();
  if (pid_ == 0) become(command, in, out, err);
  for (int fd : {in, out, err}) close(fd);
  if (pid_ < 0) throw std::runtime_error(fmt::format("fork: {}", strerror(errno)));
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
}

Child::~Child() {
  if (!status_) {
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    reap(0);
  }
  for (pid_t left : descendants_of_run(run_directory_)) kill(left, SIGKILL);
  close(pidfd_);
}

void Child::reap(int options) {
  int status = 0;
  pid_t got;
  while ((got = waitpid(pid_, &status, options)) < 0 && errno == EINTR) {
  }
  if (got == pid_) status_ = status;
}

bool Child::ended() {
  if (!status_) reap(WNOHANG);
  return status_.has_value();
}

bool Child::wait_for_end(milliseconds limit) {
  auto end = Clock::now() + limit;
  while (!ended()) {
    auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now()).count();
    if (left <= 0) return false;
    pollfd polled{pidfd_, POLLIN, 0};
    poll(&polled, 1, static_cast<int>(left));
  }
  return true;
}

Outcome Child::outcome() {
  Outcome outcome;
  if (!ended()) {
    outcome.timed_out = true;
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    reap(0);
  }
  outcome.status = status_.value_or(0);
  outcome.out = read_file(run_directory_ / "stdout");
  outcome.err = read_file(run_directory_ / "stderr");
  return outcome;
}

Outcome run(const Command& command, milliseconds limit) {
  static std::atomic<int> count{0};
  fs::path directory = fresh_directory(fmt::format("tool{}", count++));
  Outcome outcome;
  {
    Child child(command, directory);
    child.wait_for_end(limit);
    outcome = child.outcome();
  }
  fs::remove_all(directory);
  return outcome;
}

fs::path fresh_directory(const std::string& name) {
  static RunRoot root;
  fs::path path = root.path / name;
  for (int i = 2; !fs::create_directory(path); i++) path = root.path / fmt::format("{}.{}", name, i);
  return path;
}

std::vector<pid_t> descendants_of_run(const fs::path& directory) {
  std::vector<pid_t> found;
  std::string wanted = "OMIG_TEST_FIFOS=" + directory.string();
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::istringstream variables(read_file(entry.path() / "environ"));
    for (std::string variable; std::getline(variables, variable, '\0');)
      if (variable == wanted) {
        found.push_back(std::stoi(name));
        break;
      }
  }
  return found;
}

bool is_native(pid_t pid) {
  std::error_code gone;
  static const fs::path ours = fs::read_symlink("/proc/self/ns/pid");
  return fs::read_symlink("/proc/" + std::to_string(pid) + "/ns/pid", gone) == ours;
}

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

u64 number_in(const fs::path& path) {
  const std::string text = read_file(path);
  return text.empty() ? 0 : std::stoull(text);
}

std::string tail(const std::string& text, size_t lines) {
  size_t at = text.size();
  if (at && text[at - 1] == '\n') at--;
  while (lines-- && at != std::string::npos && at > 0) at = text.rfind('\n', at - 1);
  return at == std::string::npos || at == 0 ? text : text.substr(at + 1);
}

fs::path build_path(const std::string& name) {
  static const fs::path build = fs::read_symlink("/proc/self/exe").parent_path().parent_path().parent_path();
  return build / name;
}

}  // namespace omig::test
