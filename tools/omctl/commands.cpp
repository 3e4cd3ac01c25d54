// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/commands.h"

#include <fmt/format.h>

#include "lib/client/facts.h"
#include "lib/cluster/job.h"
#include "tools/omctl/client.h"
#include "tools/omctl/log.h"

namespace omig {

namespace {

std::string seconds(u64 ms) { return fmt::format("{}:{:02}.{:01}", ms / 60'000, ms / 1000 % 60, ms / 100 % 10); }

void pid_argument(CLI::App& app, pid_t& pid) {
  constexpr pid_t kGreatest = 4'194'304;  // PID_MAX_LIMIT
  app.add_option("PID", pid, "a process")->required()->check(cli::whole_number(1, kGreatest));
}

cluster::Job job_of(const Json& answer) {
  return {.locked = answer.value("locked", false),
          .node = answer.value("locked_to", ""),
          .kind = cluster::job_kind_named(answer.value("kind", "")).value_or(cluster::JobKind::none),
          .decay = cluster::decay_kind_named(answer.value("decay", "")).value_or(cluster::DecayKind::slow)};
}

std::string size(u64 bytes) {
  if (bytes >= 10ull << 30) return fmt::format("{}G", bytes >> 30);
  if (bytes >= 10ull << 20) return fmt::format("{}M", bytes >> 20);
  return fmt::format("{}K", bytes >> 10);
}

}  // namespace

int migrate_main(const cli::Words& words) {
  CLI::App app{"move a process; waits until it is done", "omctl migrate"};
  pid_t pid = 0;
  std::string where;
  bool json = false;
  pid_argument(app, pid);
  app.add_option("WHERE", where, "a node's name or number, home, or balance")->required();
  cli::json_flag(app, json);
  cli::example(app, "  omctl migrate 4711 node2\n  omctl migrate 4711 home");
  if (const auto end = cli::parse(app, words)) return *end;
  const auto answer = ask_homed({{"op", "migrate"}, {"pid", pid}, {"to", where}}, kAnswerTimeout);
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  return 0;
}

namespace {

// As ps marks those with locked pages: here, those that move only when asked to.
std::string locked_mark(const Json& process) { return process.value("locked", false) ? "L" : ""; }

}  // namespace

int ps_main(const cli::Words& words) {
  CLI::App app{"processes and where they are", "omctl ps"};
  bool json = false;
  cli::json_flag(app, json);
  cli::example(app, "  omctl ps\n  omctl ps --json | jq '.processes[] | select(.where == \"away\") | .pid'");
  if (const auto end = cli::parse(app, words)) return *end;
  const auto answer = ask_homed({{"op", "ps"}});
  if (!answer) return 1;
  if (!answer->value("ok", false)) return refused(*answer);
  if (json) {
    fmt::print("{}\n", answer->dump());
    return 0;
  }
  const std::string here = answer->value("node", "");
  fmt::print("{:>7} {:<10} {:<2} {:>5} {:>9} {:>6} {:>5} {}\n", "PID", "NODE", "S", "LOAD", "CPU", "RSS", "MOVES",
             "COMMAND");
  for (const Json& p : answer->at("processes")) {
    fmt::print("{:>7} {:<10} {:<2} {:>5.2f} {:>9} {:>6} {:>5} {}\n", p.value("pid", 0), p.value("node", ""),
               p.value("state", "") + locked_mark(p), p.value("demand", 0.0), seconds(p.value("cpu_ms", u64{0})),
               size(p.value("rss_bytes", u64{0})), p.value("moves", 0), p.value("command", ""));
  }
  const Json& guests = answer->at("guests");
  if (guests.empty()) return 0;
  fmt::print("guests on {}:\n{:>7} {:<10}    {:>5} {:>9} {:>6}       {}\n", here, "PID", "HOME", "LOAD", "CPU", "RSS",
             "COMMAND");
  for (const Json& g : guests) {
    fmt::print("{:>7} {:<10}  {:<1} {:>5.2f} {:>9} {:>6}       {}\n", g.value("pid", 0), g.value("home", ""),
               locked_mark(g), g.value("demand", 0.0), seconds(g.value("cpu_ms", u64{0})),
               size(g.value("rss_bytes", u64{0})), g.value("command", ""));
  }
  return 0;
}

int where_main(const cli::Words& words) {
  CLI::App app{"the node a process is on", "omctl where"};
  pid_t pid = 0;
  bool json = false;
  pid_argument(app, pid);
  cli::json_flag(app, json);
  cli::example(app, "  omctl where 4711");
  if (const auto end = cli::parse(app, words)) return *end;
  const auto answer = ask_homed({{"op", "where"}, {"pid", pid}});
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  if (!json) fmt::print("{}\n", answer->value("node", ""));
  return 0;
}

int why_main(const cli::Words& words) {
  CLI::App app{"why a process stays where it is, or cannot move", "omctl why"};
  pid_t pid = 0;
  bool json = false;
  pid_argument(app, pid);
  cli::json_flag(app, json);
  cli::example(app, "  omctl why 4711");
  if (const auto end = cli::parse(app, words)) return *end;
  const auto answer = ask_homed({{"op", "why"}, {"pid", pid}});
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  if (json) return 0;
  if (!answer->value("can_move", false)) {
    fmt::print("{}\n", answer->value("reason", ""));
  } else if (answer->contains("last_refusal")) {
    fmt::print("can move (but last time: {})\n", answer->value("last_refusal", ""));
  } else {
    fmt::print("can move\n");
  }
  const cluster::Job job = job_of(*answer);
  if (job != cluster::Job()) fmt::print("{}\n", cluster::told(job));
  if (answer->contains("decision")) fmt::print("{}\n", answer->value("decision", ""));
  if (answer->contains("last_move")) print_move(answer->at("last_move"));
  if (answer->contains("came_home_for")) {
    const double ago = answer->value("came_home_ms_ago", 0.0) / 1000;
    const std::string when = ago > 0 ? fmt::format(" {:.1f} s ago", ago) : "";
    fmt::print("came home by itself{}: {}\n", when, answer->value("came_home_for", ""));
  }
  return 0;
}

int nodes_main(const cli::Words& words) {
  CLI::App app{"the cluster as seen from here", "omctl nodes"};
  bool json = false;
  cli::json_flag(app, json);
  cli::example(app, "  omctl nodes\n  omctl nodes --json | jq '.nodes[] | select(.state != \"up\") | .name'");
  if (const auto end = cli::parse(app, words)) return *end;
  return nodes_command(json);
}

namespace {

std::string state_of(const Json& node) {
  const NodeFacts facts = facts_of(node);
  if (!facts.up()) return node.value("state", "");
  return (facts.status & kStatusQuiet) != 0 ? "quiet" : (facts.status & kStatusBlock) != 0 ? "block" : "up";
}

}  // namespace

int nodes_command(bool json) {
  const auto answer = ask_homed({{"op", "nodes"}});
  if (!answer) return 1;
  if (!answer->value("ok", false)) return refused(*answer);
  if (json) {
    fmt::print("{}\n", answer->dump());
    return 0;
  }
  fmt::print("{:>5} {:<12} {:<21} {:<6} {:>6} {:>6} {:>6} {:>7} {:>7} {:>6} {:>5} {:>8}\n", "ID", "NAME", "ADDRESS",
             "STATE", "CPUS", "SPEED", "LOAD", "FREE", "TOTAL", "GUESTS", "AWAY", "RTT/MS");
  for (const Json& n : answer->at("nodes")) {
    const std::string rtt = n.contains("rtt_ms") ? fmt::format("{:.2f}", n.value("rtt_ms", 0.0)) : "-";
    fmt::print("{:>5} {:<12} {:<21} {:<6} {:>6.2f} {:>6.2f} {:>6.2f} {:>7} {:>7} {:>6} {:>5} {:>8}\n", n.value("id", 0),
               n.value("name", ""), n.value("endpoint", ""), state_of(n), n.value("cpus", 0.0), n.value("speed", 0.0),
               n.value("runnable", 0.0) + n.value("reserved", 0.0), size(n.value("free_bytes", u64{0})),
               size(n.value("total_bytes", u64{0})), n.value("guests", 0), n.value("away", 0), rtt);
  }
  for (const Json& p : answer->at("problems"))
    fmt::print("      {}: {}\n", p.value("endpoint", ""), p.value("problem", ""));
  return 0;
}

}  // namespace omig
