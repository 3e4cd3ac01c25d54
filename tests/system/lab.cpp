// SPDX-License-Identifier: Apache-2.0
#include "tests/system/lab.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace omig::test {

namespace {

constexpr milliseconds kUpLimit{90'000};
std::unique_ptr<Lab> the_lab, the_faulty_lab;

}  // namespace

fs::path omctl_path() {
  if (const char* path = getenv("OMCTL")) return path;
  return build_path("tools/omctl");
}

Lab::Lab(int nodes, std::vector<std::string> options, fs::path directory)
    : directory_(std::move(directory)), nodes_(nodes) {
  static int count = 0;
  if (directory_.empty()) {
    directory_ = fresh_directory(fmt::format("lab{}", ++count));
    fs::remove(directory_);  // `lab up` makes it
  }
  start_watchdog();
  // Moves are the tests' business, not the scheduler's, unless a test is about the scheduler.
  std::vector<std::string> words = {"--nodes", std::to_string(nodes)};
  if (std::find(options.begin(), options.end(), "--balance") == options.end()) words.push_back("--no-balance");
  std::erase(options, "--balance");
  words.insert(words.end(), options.begin(), options.end());
  Outcome up = lab_command("up", words);
  if (!up.succeeded())
    throw std::runtime_error(fmt::format("omctl lab up: {}\n{}{}\n{}", up.describe(), up.out, up.err, logs()));
  namespaces_ = fs::exists(directory_ / "private");
}

Lab::~Lab() {
  Outcome down = lab_command("down");
  if (!down.succeeded()) fmt::print(stderr, "omctl lab down: {}\n{}{}", down.describe(), down.out, down.err);
  close(watchdog_pipe_);
}

// A process in a session of its own holds the reading end of a pipe whose only writing end is ours: end of file means
// that we are gone, whatever the reason, and it takes the lab down. When we did so ourselves, down finds nothing to do.
void Lab::start_watchdog() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error(fmt::format("pipe: {}", strerror(errno)));
  pid_t middle = fork();
  if (middle == 0) {
    // Twice forked: nobody here has to reap it.
    if (fork() != 0) _exit(0);
    setsid();
    for (int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_IGN);
    close(ends[1]);
    int null = open("/dev/null", O_RDWR);
    for (int fd : {0, 1, 2}) dup2(null, fd);
    char byte;
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
    }
    if (access(directory_.c_str(), F_OK) != 0) _exit(0);
    std::string omctl = omctl_path();
    execl(omctl.c_str(), "omctl", "lab", "down", "--dir", directory_.c_str(), nullptr);
    _exit(1);
  }
  close(ends[0]);
  waitpid(middle, nullptr, 0);
  watchdog_pipe_ = ends[1];
}

std::vector<std::string> Lab::on_node(int node, std::vector<std::string> words) const {
  std::vector<std::string> all = {omctl_path(), "lab", "exec", "--dir", directory_, std::to_string(node), "--"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

Outcome Lab::omctl(int node, std::vector<std::string> words, milliseconds limit) const {
  words.insert(words.begin(), omctl_path());
  return run({.words = words, .environment = {{"OMIG_DIR", state_dir(node)}}}, limit);
}

Outcome Lab::lab_command(const std::string& command, std::vector<std::string> arguments) const {
  std::vector<std::string> words = {omctl_path(), "lab", command, "--dir", directory_};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run({.words = words}, kUpLimit);
}

pid_t Lab::homed(int node) const {
  std::string text = read_file(state_dir(node) / "homed.pid");
  if (text.empty()) throw std::runtime_error(fmt::format("node{} has no homed.pid", node));
  return std::stoi(text);
}

void Lab::kill_homed(int node) const {
  pid_t pid = homed(node);
  int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  kill(pid, SIGKILL);
  pollfd polled{pidfd, POLLIN, 0};
  poll(&polled, 1, 5000);
  close(pidfd);
}

void Lab::restart_homed(int node, const std::string& fault, const Variables& variables) const {
  std::vector<std::string> words = {omctl_path(), "lab", "restart", "--dir", directory_, std::to_string(node)};
  Command command{.words = words, .environment = variables};
  if (!fault.empty()) command.environment.emplace_back("OMIG_FAULT", fault);
  Outcome outcome = run(command, kUpLimit);
  if (!outcome.succeeded())
    throw std::runtime_error(
        fmt::format("omctl lab restart {}: {}\n{}{}", node, outcome.describe(), outcome.err, logs()));
}

std::vector<pid_t> Lab::hosts(int node) const {
  std::vector<pid_t> pids;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(state_dir(node) / "hosts", error)) {
    std::string name = entry.path().stem();  // PID.json
    if (name.find_first_not_of("0123456789") == std::string::npos && kill(std::stoi(name), 0) == 0)
      pids.push_back(std::stoi(name));
  }
  return pids;
}

std::string Lab::host_name(int node) const {
  std::string name = run({.words = on_node(node, {"uname", "-n"})}).out;
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

std::string Lab::health() const {
  for (int node = 1; node <= nodes_; node++) {
    Outcome nodes = omctl(node, {"nodes", "--json"}, milliseconds(10'000));
    if (!nodes.succeeded()) return fmt::format("node{}'s homed: {}: {}", node, nodes.describe(), nodes.err);
  }
  return "";
}

std::string Lab::logs() const {
  std::string text;
  for (int node = 1; node <= nodes_; node++)
    for (const char* name : {"homed.out", "homed.log", "host.log"})
      if (std::string log = read_file(state_dir(node) / name); !log.empty())
        text += fmt::format("--- node{}/{}, the end\n{}\n", node, name, tail(log, 15));
  return text;
}

Lab& shared_lab() {
  if (!the_lab) the_lab = std::make_unique<Lab>(4);
  return *the_lab;
}

Lab& faulty_lab() {
  if (!the_faulty_lab) {
    auto lab = std::make_unique<Lab>(4);
    for (const auto& [node, fault] : {std::pair{2, "arrive-restored"}, std::pair{3, "arrive-before-commit:cut"}}) {
      lab->kill_homed(node);
      lab->restart_homed(node, fault);
    }
    the_faulty_lab = std::move(lab);
  }
  return *the_faulty_lab;
}

void drop_shared_lab() {
  the_lab.reset();
  the_faulty_lab.reset();
}
bool shared_lab_exists() { return the_lab != nullptr; }

}  // namespace omig::test
