// SPDX-License-Identifier: Apache-2.0
#include "tests/system/mover.h"

#include <fmt/format.h>
#include <poll.h>

#include "tests/system/wait.h"

namespace omig::test {

bool is_busy(const Outcome& answer) { return !answer.succeeded() && answer.err.find("try again") != std::string::npos; }

Outcome answer_to_migrate(const Lab& lab, pid_t pid, const std::string& target, int home,
                          const std::function<bool(const Outcome&)>& again) {
  const auto end = Clock::now() + kPatience;
  while (true) {
    Outcome answer = lab.omctl(home, {"migrate", std::to_string(pid), target});
    if (!again(answer) || Clock::now() > end) return answer;
    poll(nullptr, 0, 10);
  }
}

std::unique_ptr<Child> start_migrate(const Lab& lab, pid_t pid, const std::string& target) {
  const fs::path directory = fresh_directory("mover");
  return std::make_unique<Child>(
      Command{.words = {omctl_path(), "migrate", std::to_string(pid), target},
              .environment = {{"OMIG_DIR", lab.state_dir(1)}, {"OMIG_TEST_FIFOS", directory}}},
      directory);
}

bool is_stopped(pid_t pid) { return read_file(fmt::format("/proc/{}/stat", pid)).find(") T ") != std::string::npos; }

pid_t stopped_host(const Lab& lab, int node) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string words = read_file(entry.path() / "cmdline");
    if (words.find("omig-host") == std::string::npos || words.find(lab.state_dir(node).string()) == std::string::npos)
      continue;
    const pid_t host = std::stoi(entry.path().filename());
    if (is_stopped(host)) return host;
  }
  return 0;
}

std::unique_ptr<Child> migrate_until_stopped(const Lab& lab, pid_t pid, const std::string& target, int node,
                                             std::string* trouble) {
  const auto end = Clock::now() + kPatience;
  while (true) {
    auto mover = start_migrate(lab, pid, target);
    // It may hear that all is well just before the host comes to its point.
    const auto failed = [&] { return mover->ended() && !mover->outcome().succeeded(); };
    if (wait_until([&] { return stopped_host(lab, node) != 0 || failed(); }) && stopped_host(lab, node) != 0)
      return mover;
    const bool busy = mover->ended() && is_busy(mover->outcome());
    if (busy && Clock::now() < end) continue;
    *trouble = "no host came to the fault point: " + mover->outcome().describe() + " " + mover->outcome().err;
    return nullptr;
  }
}

Command worker() { return {.words = {build_path("tests/programs/threads_parallel_calls"), "2000"}}; }

std::string unlike_native(const Command& native, const Command& moved, Lab& lab, std::function<std::string(pid_t)> act,
                          milliseconds limit) {
  MovePlan plan;
  plan.seed = run_seed();
  plan.limit = limit;
  plan.instead = std::move(act);
  const MovedRun want = run_program(native, Flavour::native, nullptr, {});
  const MovedRun got = run_program(moved, Flavour::moved, &lab, plan);
  const std::string found = differences(got, want);
  return found.empty() ? "" : found + circumstances(got, &lab);
}

}  // namespace omig::test
