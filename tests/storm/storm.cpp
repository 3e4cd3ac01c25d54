// SPDX-License-Identifier: Apache-2.0
// The migration storm: random programs of the table, several at a time, moved at random over a lab of four nodes until
// the time is over. One wrong byte, exit status, refused move or process left behind ends it with status 1.
//
//   omig-storm [--seconds 120] [--seed N] [--programs 4] [--nodes 4] [--only SUBSTRING] [--keep-going]
//
// The seed decides which programs run with which moves; how these interleave is the machine's choice, so a failure
// repeats often, not always. Every failure prints the seed of its own run: --only NAME --programs 1 narrows it down.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "tests/system/compare.h"
#include "tests/system/table.h"

namespace omig::test {

namespace {

struct Options {
  unsigned seconds = 120;
  unsigned long seed = 0;
  unsigned programs = 4;
  int nodes = 4;
  std::string only;
  bool keep_going = false;
};

class Storm {
 public:
  explicit Storm(const Options& options) : options_(options), lab_(options.nodes) {
    for (const Program& program : programs())
      if (program.stays.empty() && program.known_limit.empty() && !program.timed &&
          program.name.find(options.only) != std::string_view::npos)
        candidates_.push_back(program);
    if (candidates_.empty())
      throw std::runtime_error("no program of the table has \"" + options.only + "\" in its name");
  }

  // Returns the number of failed runs.
  int rage() {
    auto end = Clock::now() + std::chrono::seconds(options_.seconds);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < options_.programs; i++)
      threads.emplace_back([this, i, end] {
        std::mt19937_64 random(options_.seed * 1000 + i);
        while (Clock::now() < end && (options_.keep_going || failures_ == 0)) one_run(random);
      });
    for (std::thread& thread : threads) thread.join();
    fmt::print("storm: seed {}, {} runs, {} moves, {} failures in {} s\n", options_.seed, runs_.load(), moves_.load(),
               failures_.load(), options_.seconds);
    return failures_;
  }

 private:
  void one_run(std::mt19937_64& random) {
    const Program& program = candidates_[random() % candidates_.size()];
    Command command{.words = {build_path("tests/programs") / std::string(program.name)}};
    MovePlan plan;
    plan.seed = random();
    plan.first_moves = 3 + static_cast<int>(random() % 8);
    plan.later_moves = 1 + static_cast<int>(random() % 4);
    plan.nodes = options_.nodes;
    plan.limit = milliseconds(60'000);
    MovedRun want = native(program, command);
    std::string problems = "natively it fails: " + want.outcome.err;
    MovedRun got;
    try {
      if (want.outcome.err.empty()) {
        got = run_program(command, Flavour::moved, &lab_, plan);
        problems = differences(got, want);
      }
    } catch (const std::exception& error) {
      problems = error.what();
    }
    runs_++;
    moves_ += got.succeeded;
    if (problems.empty()) return;
    failures_++;
    std::lock_guard lock(mutex_);
    fmt::print("storm: {} failed, run seed {}\n{}moves: {}\nits stderr: {}\n{}\n", program.name, plan.seed, problems,
               fmt::join(got.moves, ", "), got.outcome.err, options_.keep_going ? "" : lab_.logs());
    std::fflush(stdout);
  }

  // The native run of each program, made once. Under the lock: it is short, and it happens once.
  MovedRun native(const Program& program, const Command& command) {
    std::lock_guard lock(mutex_);
    auto found = natives_.find(program.name);
    if (found == natives_.end())
      found = natives_.emplace(program.name, run_program(command, Flavour::native, nullptr, {})).first;
    return found->second;
  }

  Options options_;
  Lab lab_;
  std::vector<Program> candidates_;
  std::mutex mutex_;
  std::map<std::string_view, MovedRun> natives_;
  std::atomic<int> runs_{0}, moves_{0}, failures_{0};
};

}  // namespace

}  // namespace omig::test

int main(int argc, char** argv) {
  omig::test::Options options;
  options.seed = static_cast<unsigned long>(omig::test::Clock::now().time_since_epoch().count() % 1'000'000);
  CLI::App app("Moves random programs about and compares them with native runs");
  app.add_option("--seconds", options.seconds, "how long new runs are started");
  app.add_option("--seed", options.seed, "which programs and moves");
  app.add_option("--programs", options.programs, "how many at a time")->check(CLI::Range(1u, 64u));
  app.add_option("--nodes", options.nodes, "nodes of the lab")->check(CLI::Range(2, 16));
  app.add_option("--only", options.only, "only programs with this in their name");
  app.add_flag("--keep-going", options.keep_going, "go on after a failure");
  CLI11_PARSE(app, argc, argv);
  fmt::print("storm: seed {}, {} programs at a time, {} nodes, {} s\n", options.seed, options.programs, options.nodes,
             options.seconds);
  std::fflush(stdout);
  try {
    return omig::test::Storm(options).rage() == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "omig-storm: {}\n", error.what());
    return 2;
  }
}
