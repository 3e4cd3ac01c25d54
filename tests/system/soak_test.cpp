// SPDX-License-Identifier: Apache-2.0
// `tools/dev soak`: many programs for a long time on nodes that balance by themselves, and every five seconds something
// goes wrong. Each program ends as it does natively, or, when its host was killed, by the documented end.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "tests/system/compare.h"
#include "tests/system/network.h"

namespace omig::test {

namespace {

constexpr int kNodes = 4;
constexpr size_t kPrograms = 40;
constexpr auto kFaultEvery = std::chrono::seconds(5);

// One process each, so that what is lost with a host is exactly one of them.
const std::vector<std::vector<std::string>>& programs() {
  static const std::vector<std::vector<std::string>> all = {
      {"python3", "-c",
       "import hashlib\nh = b''\nfor i in range(300000):\n  h = hashlib.sha256(h + b'%d' % i).digest()\n"
       "  if i % 30000 == 0: print(i, h.hex(), flush=True)\n"},
      {"perl", "-e",
       "$| = 1; my %h; for my $i (1..600000) { $h{$i % 9973} += $i; print \"$i $h{7}\\n\" if $i % 60000 == 0 }"},
      {"awk", "BEGIN { for (i = 1; i < 4000000; i++) { s += i % 7; if (i % 500000 == 0) { print i, s; fflush() } } }"},
      {"sort", "-n", "numbers"},
      {"xz", "-6", "-c", "-T1", "numbers"},
      {"sha512sum", "numbers", "numbers", "numbers", "numbers"},
      {"sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; echo $i; exit 7"}};
  return all;
}

struct Running {
  size_t which = 0;
  bool is_protected = false;  // it may go on at home from an image that is a second old
  std::unique_ptr<Child> child;
};

class Soak : public testing::Test {
 protected:
  void SetUp() override {
    const char* text = getenv("OMIG_SOAK_MINUTES");
    if (text == nullptr) GTEST_SKIP() << "it takes long: tools/dev soak";
    minutes_ = std::stoi(text);
    lab_ = std::make_unique<Lab>(kNodes, std::vector<std::string>{"--balance"});
    if (!lab_->has_namespaces()) GTEST_SKIP() << "this machine gives the lab no network namespaces";
    network_ = std::make_unique<Network>(*lab_);
    directory_ = fresh_directory("soak");
    std::ofstream numbers(directory_ / "numbers");
    std::mt19937 random(4711);
    for (int i = 0; i < 200'000; ++i) numbers << random() << "\n";
    numbers.close();
    for (const auto& words : programs()) natively_.push_back(run({.words = words, .directory = directory_}));
  }

  void start(Running& slot) {
    slot.which = random_() % programs().size();
    slot.is_protected = random_() % 2 == 0;
    Command command{.words = lab_->on_node(1, programs()[slot.which]), .directory = directory_};
    if (slot.is_protected) command.environment.emplace_back("OMIG_JOB", "free,protect=1");
    slot.child = std::make_unique<Child>(command, fresh_directory("run"));
    ++started_;
  }

  void judge(Running& slot) {
    const Outcome got = slot.child->outcome();
    const Outcome& want = natively_[slot.which];
    const bool as_natively = got.status == want.status && got.out == want.out && got.err == want.err;
    const bool documented = at_risk_.contains(slot.child->pid()) && WIFSIGNALED(got.status) &&
                            WTERMSIG(got.status) == SIGKILL &&
                            got.err.find("is gone; the process ends (status 137)") != std::string::npos;
    if (as_natively) {
      ++well_;
      if (slot.is_protected && at_risk_.contains(slot.child->pid())) ++outlived_;
    } else if (documented) {
      ++lost_;
    } else {
      ADD_FAILURE() << programs()[slot.which].front() << " " << slot.child->pid() << ": " << got.describe()
                    << ", natively " << want.describe() << ", " << got.out.size() << " bytes, natively "
                    << want.out.size() << "\n"
                    << got.err << "lately: " << lately_ << "\n"
                    << logs_about(slot.child->pid());
    }
    at_risk_.erase(slot.child->pid());
  }

  // Whose host it is (or is to be) stands in the request it was started with, its last argument.
  void note_guest_of(pid_t host) {
    std::string words = read_file(fmt::format("/proc/{}/cmdline", host));
    while (!words.empty() && words.back() == '\0') words.pop_back();
    const auto request = nlohmann::json::parse(words.substr(words.rfind('\0') + 1), nullptr, false);
    if (request.is_object()) at_risk_.insert(request.value("pid", 0));
  }

  // What all nodes have written of it, and of its hosts.
  std::string logs_about(pid_t pid) {
    std::string text;
    for (int node = 1; node <= kNodes; ++node) {
      std::set<std::string> numbers{std::to_string(pid)};
      for (const char* name : {"homed.log", "host.log"}) {
        std::ifstream file(lab_->state_dir(node) / name);
        for (std::string line; std::getline(file, line);) {
          if (std::ranges::none_of(numbers, [&](const auto& each) { return line.find(each) != std::string::npos; }))
            continue;
          text += fmt::format("node{} {}\n", node, line);
          constexpr std::string_view kHost = ": omig-host ";
          if (const size_t at = line.find(kHost); at != std::string::npos)
            numbers.insert(line.substr(at + kHost.size()));
        }
      }
    }
    return text;
  }

  void heal() {
    network_->plug();
    for (const pid_t host : stopped_) kill(host, SIGCONT);
    stopped_.clear();
  }

  void break_something() {
    heal();
    const int node = static_cast<int>(random_() % kNodes) + 1;
    const auto hosts = lab_->hosts(node);
    const unsigned kind = random_() % 10;
    lately_ =
        fmt::format("{}{} at node{}; ", lately_.substr(lately_.size() > 100 ? lately_.size() - 100 : 0), kind, node);
    if (kind < 3) {
      network_->reset(node), ++faults_["connections reset"];
    } else if (kind < 6) {
      network_->unplug(node), ++faults_["node unplugged for 5 s"];
    } else if (kind < 8) {
      lab_->kill_homed(node);
      lab_->restart_homed(node);
      ++faults_["homed killed"];
    } else if (kind == 8 && !hosts.empty()) {
      stopped_.push_back(hosts[random_() % hosts.size()]);
      kill(stopped_.back(), SIGSTOP);
      ++faults_["host stopped for 5 s"];
    } else if (kind == 9 && !hosts.empty()) {
      const pid_t host = hosts[random_() % hosts.size()];
      note_guest_of(host);
      kill(host, SIGKILL);
      ++hosts_killed_, ++faults_["host killed"];
    }
  }

  int minutes_ = 0;
  std::unique_ptr<Lab> lab_;
  std::unique_ptr<Network> network_;
  fs::path directory_;
  std::vector<Outcome> natively_;
  std::vector<pid_t> stopped_;
  std::mt19937_64 random_{run_seed()};
  std::map<std::string, int> faults_;
  std::set<pid_t> at_risk_;  // programs whose host was killed
  std::string lately_;       // faults
  int started_ = 0, well_ = 0, outlived_ = 0, lost_ = 0, hosts_killed_ = 0;
};

TEST_F(Soak, EveryProgramEndsAsDocumented) {
  std::vector<Running> running(kPrograms);
  for (Running& slot : running) start(slot);
  const auto end = Clock::now() + std::chrono::minutes(minutes_);
  auto next_fault = Clock::now() + kFaultEvery;
  while (Clock::now() < end) {
    for (Running& slot : running) {
      if (slot.child->ended()) judge(slot), start(slot);
    }
    if (Clock::now() >= next_fault) break_something(), next_fault += kFaultEvery;
    poll(nullptr, 0, 50);
  }
  heal();
  for (Running& slot : running) {
    if (!slot.child->wait_for_end(std::chrono::minutes(5)))
      ADD_FAILURE() << programs()[slot.which].front() << " does not end";
    judge(slot);
  }
  std::string kinds;
  for (const auto& [kind, count] : faults_) kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", count, kind);
  fmt::print(
      "soak: {} minutes, seed {}: {} programs started, {} as natively ({} protected ones whose host was killed), "
      "{} lost with a killed host; {}\n",
      minutes_, run_seed(), started_, well_, outlived_, lost_, kinds);
  EXPECT_LE(lost_, hosts_killed_) << "a host has one guest";
}

}  // namespace

}  // namespace omig::test
