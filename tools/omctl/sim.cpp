// SPDX-License-Identifier: Apache-2.0
// omctl sim: what the policies do on clusters that nobody has, in seconds. docs/POLICY.md is made of its output.
#include "tools/omctl/sim.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "tests/sim/rumour.h"
#include "tests/sim/table.h"
#include "tools/omctl/commands.h"

namespace omig {

namespace {

using sim::Scenario;

struct Options {
  Scenario scenario;
  std::vector<std::string> policies;
  u32 seeds = 3;
  u32 window = cluster::kWindow;
};

std::vector<std::string> policy_names() {
  std::vector<std::string> names;
  for (const cluster::Policy& policy : cluster::policies()) names.emplace_back(policy.name);
  return names;
}

std::vector<cluster::Policy> chosen(const Options& options) {
  if (options.policies.empty()) return {cluster::policies().begin(), cluster::policies().end()};
  std::vector<cluster::Policy> list;
  for (const std::string& name : options.policies) list.push_back(*cluster::policy_named(name));
  return list;
}

void print(const std::string& text) {
  fmt::print("{}", text);
  std::fflush(stdout);
}

void table(const Options& options) {
  constexpr std::array kLoads{0.3, 0.6, 0.8, 0.95};
  const auto policies = chosen(options);
  for (const bool tight : {false, true}) {
    for (const bool mixed : {false, true}) {
      Scenario s = options.scenario;
      s.mixed = mixed;
      s.tight = tight;
      print(fmt::format("\n{} speeds, {} memory, {} nodes, {} seeds of {:.0f} s\n\n", mixed ? "1:2:4" : "Equal",
                        tight ? "tight" : "plenty of", s.nodes, options.seeds, s.time_s));
      print(sim::markdown_table(s, kLoads, policies, options.seeds));
    }
  }
}

void run(const Options& options) {
  print("| policy | mean | p99 | under 2 s | over 20 s | moves | away | messages | gossip | age s | us | lost |\n");
  print("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
  for (const auto& policy : chosen(options)) {
    std::vector<double> mean, p99, brief, lengthy;
    sim::Measured last;
    bool diverged = false;
    for (u32 k = 0; k < options.seeds; ++k) {
      Scenario s = options.scenario;
      s.seed += k;
      last = sim::measure(s, policy);
      diverged = diverged || last.diverged;
      mean.push_back(last.mean);
      p99.push_back(last.p99);
      brief.push_back(last.short_mean);
      lengthy.push_back(last.long_mean);
    }
    const auto e = sim::estimate(mean);
    const std::string figure = diverged ? "diverges" : fmt::format("{:.3f} ±{:.3f}", e.mean, e.half_width);
    print(fmt::format(
        "| {} | {} | {:.2f} | {:.3f} | {:.3f} | {:.3f} | {:.2f} | {:.1f} | {:.1f} | {:.1f} | {:.2f} | {:.4f} |\n",
        policy.name, figure, sim::estimate(p99).mean, sim::estimate(brief).mean, sim::estimate(lengthy).mean,
        last.moves, last.starts_away, last.messages_per_s, last.gossip_per_s, last.news_age_s, last.decision_us,
        last.lost));
  }
}

// The same load on more and more nodes: what a decision costs, and what a node sends, must not grow with them.
void scale(const Options& options) {
  print(
      "| nodes | mean | p99 | messages | gossip | age s | us per decision | moves "
      "|\n|---|---|---|---|---|---|---|---|\n");
  for (const u32 nodes : {4u, 16u, 64u, 256u, 1'024u, 4'096u, 16'384u, 100'000u}) {
    Scenario s = options.scenario;
    s.nodes = nodes;
    s.time_s = std::clamp(60'000.0 / nodes, 15.0, 1'500.0);
    s.warm_s = s.time_s / 3;
    const auto m =
        sim::measure(s, options.policies.empty() ? cluster::kOmig : *cluster::policy_named(options.policies.front()));
    print(fmt::format("| {} | {:.3f} | {:.2f} | {:.1f} | {:.1f} | {:.1f} | {:.2f} | {:.3f} |\n", nodes, m.mean, m.p99,
                      m.messages_per_s, m.gossip_per_s, m.news_age_s, m.decision_us, m.moves));
  }
}

void gossip(const Options& options) {
  constexpr u32 kSteps = 8;
  const u32 nodes = options.scenario.nodes;
  const auto reach = sim::spread_rumours(nodes, options.window, kSteps, options.scenario.seed);
  print(
      fmt::format("{} nodes, windows of {}, mean age of an entry {:.2f} steps\n| steps | nodes reached | formula "
                  "|\n|---|---|---|\n",
                  nodes, options.window, reach.mean_age_steps));
  for (u32 t = 0; t < kSteps; ++t)
    print(fmt::format("| {} | {:.1f} | {:.1f} |\n", t + 1, reach.reached[t], cluster::gossip_reach(nodes, t + 1)));
}

void spread(const Options& options) {
  for (const auto& policy : chosen(options)) {
    Scenario s = options.scenario;
    s.all_on_one = true;
    const auto trace = sim::draw(s);
    const auto outcome = sim::simulate(s, policy, trace);
    double network_s = 0;
    for (const auto& w : trace)
      network_s += (1 - 1.0 / s.nodes) * (static_cast<double>(w.bytes) / sim::kLinkBytes_per_s + sim::kMoveFixed_s);
    print(fmt::format(
        "{}: {} processes on one of {} nodes, within 5% of even after {:.1f} s; network {:.1f} s; {} moves\n",
        policy.name, trace.size(), s.nodes, outcome.even_s, network_s, outcome.counts.moves));
  }
}

}  // namespace

int sim_main(const cli::Words& words) {
  CLI::App app{"the cluster's policies on simulated clusters", "omctl sim"};
  app.require_subcommand(1);
  cli::example(app, "  omctl sim run --nodes 64 --load 0.8");
  Options o;
  Scenario& s = o.scenario;
  const auto add = [&](const char* name, const char* what, void (*work)(const Options&), const char* example) {
    CLI::App* command = app.add_subcommand(name, what);
    cli::example(*command, example);
    command->callback([&o, work] { work(o); });
    command->add_option("--nodes", s.nodes, "how many nodes")->type_name("N")->check(CLI::Range(2, 1'000'000));
    command->add_option("--load", s.load, "how much work arrives, 1 = as much as the cluster can do")
        ->type_name("SHARE")
        ->check(CLI::PositiveNumber);
    command->add_option("--seed", s.seed, "the first seed")->type_name("N");
    command->add_option("--seeds", o.seeds, "runs per figure")->type_name("N")->check(CLI::Range(1, 1'000));
    command->add_option("--time", s.time_s, "for so long processes arrive")
        ->type_name("SECONDS")
        ->check(CLI::PositiveNumber);
    command->add_option("--warm", s.warm_s, "so long is not measured")->type_name("SECONDS");
    command->add_option("--trees", s.trees, "share of the work that is fork trees")
        ->type_name("SHARE")
        ->check(CLI::Range(0.0, 1.0));
    command->add_option("--delay", s.delay_s, "how long a message takes")->type_name("SECONDS");
    command->add_option("--loss", s.loss, "share of messages lost")->type_name("SHARE")->check(CLI::Range(0.0, 1.0));
    command->add_option("--failures", s.failures_per_h, "how often a node fails in an hour")->type_name("N");
    command->add_option("--io", s.io, "share of I/O-bound processes")->type_name("SHARE")->check(CLI::Range(0.0, 1.0));
    command->add_option("--history", s.history, "share of starts whose program is known")
        ->type_name("SHARE")
        ->check(CLI::Range(0.0, 1.0));
    command->add_option("--window", o.window, "entries kept (gossip)")->type_name("N")->check(CLI::Range(2, 1'000'000));
    command->add_flag("--mixed", s.mixed, "nodes of speeds 1:2:4");
    command->add_flag("--tight", s.tight, "nodes with little memory");
    command->add_option("--policy", o.policies, "some of the policies, with commas between them (default: all)")
        ->type_name("NAME")
        ->delimiter(',')
        ->check(CLI::IsMember(policy_names()));
  };
  add("run", "one scenario, each policy", run, "  omctl sim run --nodes 64 --load 0.8 --policy openmosix,omig");
  add("table", "all loads, speeds and memories", table, "  omctl sim table --nodes 64 --seeds 5");
  add("scale", "4 to 100,000 nodes", scale, "  omctl sim scale --policy omig");
  add("gossip", "how fast news get around, against the formula", gossip, "  omctl sim gossip --nodes 1000");
  add("spread", "everything starts on one node", spread, "  omctl sim spread --nodes 16 --policy omig");
  return cli::parse(app, words).value_or(0);
}

}  // namespace omig
