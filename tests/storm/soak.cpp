// SPDX-License-Identifier: Apache-2.0
// The soak: many programs live for a long time and are moved at random between the nodes of a lab, while the memory,
// threads and descriptors of homed, of the hosts and of the programs' own processes (the deputies) are sampled. At the
// end they must be where they were after the first quarter, and every program must have found its results right.
//
//   omig-soak [--seconds 1800] [--programs 40] [--nodes 4] [--seed N] [--slack PERCENT]
#include <dirent.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <thread>

#include "tests/system/compare.h"

namespace omig::test {
namespace {

struct Options {
  unsigned seconds = 1800;
  unsigned programs = 40;
  int nodes = 4;
  unsigned long seed = 0;
  double slack_percent = 20;
};

// Of one process, or of several: what may leak.
struct Weight {
  double rss_kib = 0, threads = 0, fds = 0;
  void add(const Weight& other) { rss_kib += other.rss_kib, threads += other.threads, fds += other.fds; }
};

Weight weigh(pid_t pid) {
  Weight weight;
  const std::string status = read_file(fmt::format("/proc/{}/status", pid));
  const auto field = [&](const char* name) {
    const size_t at = status.find(name);
    return at == std::string::npos ? 0.0 : std::strtod(status.c_str() + at + std::string(name).size(), nullptr);
  };
  weight.rss_kib = field("\nRssAnon:");
  weight.threads = field("\nThreads:");
  if (DIR* list = opendir(fmt::format("/proc/{}/fd", pid).c_str())) {
    while (readdir(list) != nullptr) weight.fds += 1;
    closedir(list);
    weight.fds -= 2;
  }
  return weight;
}

struct Sample {
  double at_s = 0;
  Weight homeds, hosts, deputies;
  double guests = 0;  // hosts' figures are for so many
};

Weight mean(const std::vector<Sample>& samples, size_t from, size_t to, Weight Sample::*which, bool per_guest) {
  Weight sum;
  double n = 0;
  for (size_t i = from; i < to; ++i) {
    const double share = per_guest ? std::max(samples[i].guests, 1.0) : 1.0;
    const Weight& each = samples[i].*which;
    sum.add({each.rss_kib / share, each.threads / share, each.fds / share});
    n += 1;
  }
  return {sum.rss_kib / n, sum.threads / n, sum.fds / n};
}

class Soak {
 public:
  explicit Soak(const Options& options)
      : options_(options), lab_(options.nodes, {"--no-balance"}), random_(options.seed) {}

  int run() {
    for (unsigned i = 0; i < options_.programs; ++i) start();
    const auto begin = Clock::now(), end = begin + std::chrono::seconds(options_.seconds);
    const auto every = std::chrono::milliseconds(options_.seconds * 1000 / 60);
    auto next = begin + every;
    std::thread mover([&] { move_until(end); });
    std::thread other([&] { move_until(end); });
    while (Clock::now() < end) {
      std::this_thread::sleep_until(next);
      next += every;
      sample(std::chrono::duration<double>(Clock::now() - begin).count());
    }
    mover.join();
    other.join();
    const int wrong = finish();
    return judge() + wrong;
  }

 private:
  struct Resident {
    std::unique_ptr<Child> child;
    std::string place = "home";
  };

  void start() {
    const fs::path directory = fresh_directory("soak");
    // One in eight is busy all the time. If all were, a small machine would do little else than run them: few moves.
    const std::string pause_ms = residents_.size() % 8 == 0 ? "20" : "500";
    Command command{.words = lab_.on_node(
                        1, {build_path("tests/storm/omig-resident"), std::to_string(random_() % 1'000'000), pause_ms})};
    command.environment = program_environment(&lab_, Flavour::moved);
    command.environment.emplace_back("OMIG_TEST_FIFOS", directory);
    residents_.push_back({std::make_unique<Child>(command, directory)});
  }

  // Each resident belongs to one mover, so that nobody moves it twice at the same time.
  void move_until(Clock::time_point end) {
    const size_t half = movers_++;
    std::mt19937_64 random(options_.seed * 2 + half);
    while (Clock::now() < end) {
      Resident& resident = residents_[(random() % (residents_.size() / 2)) * 2 + half];
      std::string target = resident.place;
      while (target == resident.place) {
        const auto draw = 1 + random() % static_cast<unsigned long>(options_.nodes);
        target = draw == 1 ? "home" : fmt::format("node{}", draw);
      }
      const std::string answer = migrate(lab_, resident.child->pid(), target);
      if (answer.empty())
        resident.place = target, ++moves_;
      else
        ++refused_, last_refusal_ = answer;
      poll(nullptr, 0, 20);
    }
  }

  void sample(double at_s) {
    Sample now;
    now.at_s = at_s;
    for (int node = 1; node <= options_.nodes; ++node) {
      now.homeds.add(weigh(lab_.homed(node)));
      for (const pid_t host : lab_.hosts(node)) now.hosts.add(weigh(host)), now.guests += 1;
    }
    for (const Resident& resident : residents_) now.deputies.add(weigh(resident.child->pid()));
    samples_.push_back(now);
    if (samples_.size() % 5 == 1) {
      fmt::print(
          "{:6.0f} s  {:6} moves  homed {:.0f} KiB {:.0f} fds  hosts {:.0f}: {:.0f} KiB {:.0f} threads {:.0f} fds  "
          "deputies {:.0f} KiB {:.0f} fds\n",
          at_s, moves_.load(), now.homeds.rss_kib, now.homeds.fds, now.guests, now.hosts.rss_kib, now.hosts.threads,
          now.hosts.fds, now.deputies.rss_kib, now.deputies.fds);
      std::fflush(stdout);
    }
  }

  int finish() {
    int wrong = 0;
    for (Resident& resident : residents_) kill(resident.child->pid(), SIGTERM);
    for (Resident& resident : residents_) {
      resident.child->wait_for_end(milliseconds(60'000));
      const Outcome outcome = resident.child->outcome();
      if (outcome.succeeded()) continue;
      ++wrong;
      fmt::print("soak: a program failed: {}: {}\n", outcome.describe(), outcome.err);
    }
    return wrong;
  }

  // The second quarter against the last.
  int judge() {
    const size_t n = samples_.size();
    int grown = 0;
    const auto compare = [&](const char* who, Weight Sample::*which, bool per_guest) {
      const Weight early = mean(samples_, n / 4, n / 2, which, per_guest),
                   late = mean(samples_, n * 3 / 4, n, which, per_guest);
      const auto one = [&](const char* what, double before, double after, double free) {
        const bool bad = after > before * (1 + options_.slack_percent / 100) + free;
        grown += bad ? 1 : 0;
        fmt::print("{:9} {:8} {:10.1f} -> {:10.1f}{}\n", who, what, before, after, bad ? "  GROWN" : "");
      };
      one("KiB", early.rss_kib, late.rss_kib, per_guest ? 200 : 1000);
      one("threads", early.threads, late.threads, 1);
      one("fds", early.fds, late.fds, 2);
    };
    compare("homed", &Sample::homeds, false);
    compare("host", &Sample::hosts, true);
    compare("deputies", &Sample::deputies, false);
    fmt::print("soak: seed {}, {} programs, {} moves, {} refused ({}), {} s\n", options_.seed, residents_.size(),
               moves_.load(), refused_.load(), last_refusal_, options_.seconds);
    return grown;
  }

  Options options_;
  Lab lab_;
  std::mt19937_64 random_;
  std::vector<Resident> residents_;
  std::vector<Sample> samples_;
  std::atomic<size_t> movers_{0};
  std::atomic<int> moves_{0}, refused_{0};
  std::string last_refusal_;
};

}  // namespace
}  // namespace omig::test

int main(int argc, char** argv) {
  omig::test::Options options;
  options.seed = static_cast<unsigned long>(omig::test::Clock::now().time_since_epoch().count() % 1'000'000);
  CLI::App app("Moves long-living programs about and looks for what grows");
  app.add_option("--seconds", options.seconds, "how long")->check(CLI::Range(30u, 1000000u));
  app.add_option("--programs", options.programs, "how many at a time")->check(CLI::Range(2u, 400u));
  app.add_option("--nodes", options.nodes, "nodes of the lab")->check(CLI::Range(2, 16));
  app.add_option("--seed", options.seed, "which moves");
  app.add_option("--slack", options.slack_percent, "how much may be more at the end, in percent");
  CLI11_PARSE(app, argc, argv);
  try {
    return omig::test::Soak(options).run() == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "omig-soak: {}\n", error.what());
    return 2;
  }
}
