// SPDX-License-Identifier: Apache-2.0
// omig-bench: the budgets of DESIGN.md section 6, measured.
//
// Absolute figures mean nothing on a shared machine, so every row is a ratio of two things measured in turns within the
// same run, and what is printed is the median of several rounds. All of it runs between two nodes of a fresh lab (root:
// network namespaces and a veth each), with the scheduler off.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/bench/waits.h"
#include "tests/system/fifos.h"
#include "tests/system/moves.h"

namespace omig::test {

namespace {

using Json = nlohmann::json;
using Numbers = std::vector<double>;

double median(Numbers values) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// One line of the result.
struct Row {
  std::string key, text;
  double value = 0;
  std::string unit;     // "x" for a ratio
  std::string budget;   // of DESIGN.md, "" where there is none
  std::string details;  // the two sides of a ratio, for orientation
};

// The probe, running on a node, with its conversation.
class Probe {
 public:
  Probe(const Lab& lab, int node, const std::vector<std::string>& arguments, bool preloaded = true,
        const std::string& job = "")
      : directory_(fresh_directory("probe")),
        fifos_(directory_),
        child_(command(lab, node, arguments, preloaded, job), directory_) {}

  Ready wait_ready() {
    auto end = Clock::now() + std::chrono::seconds(60);
    Ready ready;
    while (!fifos_.next(&ready)) {
      if (child_.ended() || Clock::now() > end)
        throw std::runtime_error(
            fmt::format("the probe does not answer: {} {}", child_.outcome().describe(), child_.outcome().err));
      pollfd polled{fifos_.ready_fd(), POLLIN, 0};
      poll(&polled, 1, 100);
    }
    return ready;
  }
  void go() { fifos_.go(1); }
  // All numbers it printed, after its end.
  Numbers finish() {
    child_.wait_for_end(milliseconds(120'000));
    Outcome outcome = child_.outcome();
    if (!outcome.succeeded())
      throw std::runtime_error(fmt::format("the probe: {} {}", outcome.describe(), outcome.err));
    std::istringstream text(outcome.out);
    Numbers numbers;
    for (double each; text >> each;) numbers.push_back(each);
    return numbers;
  }

 private:
  Command command(const Lab& lab, int node, std::vector<std::string> arguments, bool preloaded,
                  const std::string& job) const {
    if (arguments.front() == "omig-bench-waits") {
      arguments.front() = build_path("tests/bench/omig-bench-waits");
    } else {
      arguments.insert(arguments.begin(), build_path("tests/bench/omig-bench-probe"));
    }
    if (!preloaded) arguments.insert(arguments.begin(), {"env", "-u", "LD_PRELOAD"});
    Command command{.words = lab.on_node(node, arguments), .environment = {{"OMIG_TEST_FIFOS", directory_}}};
    if (!job.empty()) command.environment.push_back({"OMIG_JOB", job});
    return command;
  }
  fs::path directory_;
  Fifos fifos_;
  Child child_;
};

class Bench {
 public:
  Bench(int rounds, bool json) : lab_(2), rounds_(rounds), json_(json) {
    Json nodes = Json::parse(lab_.omctl(1, {"nodes", "--json"}).out).at("nodes");
    for (const Json& node : nodes) {
      std::string endpoint = node.value("endpoint", "");
      if (node.value("name", "") == "node1") home_address_ = endpoint.substr(0, endpoint.find(':'));
      if (node.value("name", "") == "node2") away_address_ = endpoint.substr(0, endpoint.find(':'));
    }
  }

  std::vector<Row> run(const std::string& only) {
    if (wants(only, "home")) at_home();
    if (wants(only, "cpu")) guest_cpu();
    if (wants(only, "calls")) forwarded_calls();
    if (wants(only, "waits")) waits();
    if (wants(only, "protect")) {
      protection("calm", "writing 8 MiB a second", 10);
      protection("busy", "writing all of it twice a second", 650);
    }
    if (wants(only, "move10")) moves(10, rounds_);
    if (wants(only, "move1024")) moves(1024, std::max(3, rounds_ / 2));
    return rows_;
  }

 private:
  static bool wants(const std::string& only, const char* part) { return only.empty() || only == part; }

  void add(Row row) {
    fmt::print(json_ ? stderr : stdout, "{:<44} {:>10.3f} {:<5} {:<9} {}\n", row.text, row.value, row.unit, row.budget,
               row.details);
    rows_.push_back(std::move(row));
  }

  Json migrate(pid_t pid, const std::string& to) {
    Outcome outcome = lab_.omctl(1, {"migrate", "--json", std::to_string(pid), to});
    if (!outcome.succeeded()) throw std::runtime_error("omctl migrate: " + outcome.err + lab_.logs());
    return Json::parse(outcome.out);
  }

  // Preloaded, but never moved, against no omig at all.
  void at_home() {
    for (auto [mode, count, text] : {std::tuple{"calls", "300000", "at home, syscall-heavy, preloaded/native"},
                                     {"forks", "1500", "at home, fork-heavy, preloaded/native"}}) {
      Numbers with, without;
      for (int i = 0; i < 2 * rounds_; i++) {
        // In turns, and in turns who is first: a machine that gets slower must not favour one.
        for (bool preloaded : {i % 2 == 0, i % 2 != 0})
          (preloaded ? with : without).push_back(Probe(lab_, 1, {mode, count}, preloaded).finish().at(0));
      }
      add({fmt::format("home_{}", mode), text, median(with) / median(without), "x", "1.00",
           fmt::format("{:.3f} s / {:.3f} s", median(with), median(without))});
    }
  }

  // The same process computes at home and away in turns.
  void guest_cpu() {
    int rounds = 2 * rounds_;
    Probe probe(lab_, 1, {"cpu", std::to_string(rounds)});
    for (int i = 0; i < rounds; i++) {
      pid_t pid = probe.wait_ready().pid;
      migrate(pid, i % 2 ? "node2" : "home");
      probe.go();
    }
    Numbers all = probe.finish(), home, away;
    for (size_t i = 0; i < all.size(); i++) (i % 2 ? away : home).push_back(all[i]);
    add({"guest_cpu_speed", "guest's CPU speed, away/home", median(home) / median(away), "x", ">= 0.99",
         fmt::format("{:.3f} s at home, {:.3f} s away", median(home), median(away))});
  }

  void forwarded_calls() {
    Probe pong(lab_, 1, {"pong"}, false);
    std::string port = std::to_string(pong.wait_ready().limit_ms);
    Probe guest(lab_, 1, {"forwarded", std::to_string(rounds_)});
    pid_t pid = guest.wait_ready().pid;
    migrate(pid, "node2");
    Numbers bare;
    for (int i = 0; i < rounds_; i++) {
      // From the visited node to home, as the guest's calls go.
      Numbers round = Probe(lab_, 2, {"ping", home_address_, port}, false).finish();
      bare.insert(bare.end(), round.begin(), round.end());
      guest.go();
      if (i + 1 < rounds_) guest.wait_ready();
    }
    Numbers forwarded = guest.finish();
    static constexpr const char* kNames[] = {"getppid",  "read_64", "write_64", "read_4k",
                                             "write_4k", "read_1m", "write_1m"};
    static constexpr const char* kBudgets[] = {"<= 2.40", "<= 2.40", "<= 2.40", "<= 2.40", "<= 2.40", "<= 1.25", ""};
    for (size_t shape = 0; shape < 7; shape++) {
      Numbers a, b;
      for (size_t i = shape; i < forwarded.size(); i += 7) a.push_back(forwarded[i]), b.push_back(bare.at(i));
      add({fmt::format("forwarded_{}", kNames[shape]), fmt::format("forwarded {} / bare TCP round trip", kNames[shape]),
           median(a) / median(b), "x", kBudgets[shape],
           fmt::format("{:.1f} us / {:.1f} us", median(a) / 1e3, median(b) / 1e3)});
    }
  }

  // Waits with a time-out, moved out and home again as long as they last: how late they end.
  void waits() {
    Numbers still[bench::kWaitKinds], moved[bench::kWaitKinds];
    int count = 0;
    for (int i = 0; i < rounds_; i++) {
      for (bool moves : {false, true}) {
        Probe probe(lab_, 1, {"omig-bench-waits"});
        pid_t pid = probe.wait_ready().pid;
        constexpr auto kLastMove = milliseconds(static_cast<int>(bench::kWaitSeconds * 1e3) - 700);
        const auto last = Clock::now() + kLastMove;
        while (moves && Clock::now() < last) migrate(pid, ++count % 2 ? "node2" : "home");
        Numbers late = probe.finish();
        for (int kind = 0; kind < bench::kWaitKinds; kind++) (moves ? moved : still)[kind].push_back(late.at(kind));
      }
    }
    for (int kind = 0; kind < bench::kWaitKinds; kind++) {
      const auto [first, end] = std::minmax_element(moved[kind].begin(), moved[kind].end());
      add({fmt::format("wait_{}_late_ms", kind),
           fmt::format("{} of {} s ends late", bench::kWaits[kind], bench::kWaitSeconds), median(moved[kind]), "ms",
           "-10..10",
           fmt::format("{:.1f}..{:.1f}; not moved {:.1f}; {} moves", *first, *end, median(still[kind]),
                       count / rounds_)});
    }
  }

  void moves(int mib, int rounds) {
    Probe sink(lab_, 2, {"sink"}, false);
    std::string port = std::to_string(sink.wait_ready().limit_ms), size = std::to_string(mib);
    Probe probe(lab_, 1, {"memory", size, std::to_string(2 * rounds)});
    Numbers freeze, total, home_total, ahead, raw;
    double bytes = 0, ahead_bytes = 0;
    for (int i = 0; i < rounds; i++) {
      raw.push_back(mib / Probe(lab_, 1, {"stream", away_address_, port, size}, false).finish().at(0));
      pid_t pid = probe.wait_ready().pid;
      Json out = migrate(pid, "node2");
      probe.go();
      pid = probe.wait_ready().pid;
      Json back = migrate(pid, "home");
      probe.go();
      freeze.push_back(out.at("freeze_ms"));
      total.push_back(out.at("total_ms"));
      bytes = out.at("bytes");
      ahead.push_back(out.at("ahead_ms"));
      ahead_bytes = out.at("ahead_bytes");
      home_total.push_back(back.at("total_ms"));
    }
    Numbers still, still_home, all = probe.finish();
    for (size_t i = 0; i < all.size(); i++) (i % 2 ? still_home : still).push_back(all[i] * 1000);
    std::string what = mib >= 1024 ? "1 GiB" : fmt::format("{} MiB", mib);
    add({fmt::format("move_{}m_freeze_ms", mib), what + " process, freeze", median(freeze), "ms",
         mib >= 1024 ? "<= 10" : "", ""});
    add({fmt::format("move_{}m_stands_still_ms", mib), what + " process, stands still as it sees it", median(still),
         "ms", "", fmt::format("{:.0f} ms on the way home", median(still_home))});
    add({fmt::format("move_{}m_total_ms", mib), what + " process, whole move out", median(total), "ms", "",
         fmt::format("{:.0f} ms home again, all of it changed", median(home_total))});
    // Pre-copy: the stream flows before the freeze, into a target that prepares itself meanwhile.
    for (auto [key, text, budget, sent, took] :
         {std::tuple{"stream_rate", " stream ahead of its freeze / raw TCP", ">= 0.95", ahead_bytes, &ahead},
          {"rate", " whole move / raw TCP stream", "", bytes, &total}}) {
      double rate = sent / 1048576 / (median(*took) / 1000);
      add({fmt::format("move_{}m_{}", mib, key), what + text, rate / median(raw), "x", budget,
           fmt::format("{:.0f} MiB/s / {:.0f} MiB/s", rate, median(raw))});
    }
  }

  // What an image a second costs a program that computes away, and what its node's death costs it then.
  void protection(const char* key, const char* what, int pages_a_step) {
    enum Way { plain, guarded, killed };
    Numbers took[3], longest[3], lost, image_mib, images_ms;
    constexpr int kMib = 256, kSteps = 1500;
    for (int i = 0; i < std::max(2, rounds_ / 2); i++) {
      for (Way way : {plain, guarded, killed}) {
        Probe probe(lab_, 1, {"ageing", std::to_string(kMib), std::to_string(kSteps), std::to_string(pages_a_step)},
                    true, way == plain ? "lock" : "lock,protect=1");
        const pid_t pid = probe.wait_ready().pid;
        migrate(pid, "node2");
        probe.go();
        if (way != plain) poll(nullptr, 0, 4000 + 370 * i);  // somewhere between two images
        if (way == guarded) {
          const Json there = Json::parse(lab_.omctl(2, {"ps", "--json"}).out);
          for (const Json& guest : there.at("guests")) {
            image_mib.push_back(guest.value("image_bytes", 0.0) / 1048576);
            images_ms.push_back(guest.value("image_us", 0.0) / 1000);
          }
        }
        if (way == killed)
          for (const pid_t host : lab_.hosts(2)) kill(host, SIGKILL);
        const Numbers all = probe.finish();
        took[way].push_back(all.at(0));
        longest[way].push_back(all.at(1) * 1000);
      }
      lost.push_back(took[killed].back() - took[guarded].back());
    }
    add({fmt::format("protect_{}", key), fmt::format("{} MiB away, {}, --protect 1", kMib, what),
         median(took[guarded]) / median(took[plain]), "x", "",
         fmt::format("{:.2f} s / {:.2f} s without; an image: {:.0f} MiB, stands still {:.0f} ms", median(took[guarded]),
                     median(took[plain]), median(image_mib), median(images_ms))});
    add({fmt::format("protect_{}_longest_ms", key), "  its longest step", median(longest[guarded]), "ms", "",
         fmt::format("{:.0f} ms without", median(longest[plain]))});
    add({fmt::format("protect_{}_lost_s", key), "  what its node's death cost it", median(lost), "s", "",
         "noticing it, and work done again"});
  }

  Lab lab_;
  int rounds_;
  bool json_;  // stdout is for the JSON
  std::string home_address_, away_address_;
  std::vector<Row> rows_;
};

}  // namespace

}  // namespace omig::test

int main(int argc, char** argv) {
  using namespace omig::test;
  int rounds = 5;
  std::string only;
  bool json = false;
  CLI::App app("Measures omig against what it replaces, as ratios of one interleaved run");
  app.add_option("--rounds", rounds, "measurements of each kind")->check(CLI::Range(2, 1000));
  app.add_option("--only", only, "one part: home, cpu, calls, waits, protect, move10, move1024");
  app.add_flag("--json", json, "print {KEY: {value, unit, budget, text, details}}");
  CLI11_PARSE(app, argc, argv);
  try {
    nlohmann::json all;
    for (const Row& row : Bench(rounds, json).run(only))
      all[row.key] = {{"value", row.value},
                      {"unit", row.unit},
                      {"budget", row.budget},
                      {"text", row.text},
                      {"details", row.details}};
    if (json) fmt::print("{}\n", all.dump(2));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "omig-bench: {}\n", error.what());
    return 1;
  }
}
