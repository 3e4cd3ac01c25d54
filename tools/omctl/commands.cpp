// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/commands.h"

#include <fmt/format.h>

#include "tools/omctl/client.h"

namespace omig {

namespace {

// Asks homed; nothing, and the one line said, if there is no answer. A refusal is an answer.
std::optional<Json> ask(const Json& request) {
  auto client = Client::connect();
  if (!client) {
    say_no_homed();
    return std::nullopt;
  }
  auto answer = client->ask(request);
  if (!answer) say_reason("homed ended the conversation without an answer (see its homed.log)");
  return answer;
}

int refused(const Json& answer) {
  say_reason(answer.value("reason", "refused without a reason"));
  return 1;
}

std::string seconds(u64 ms) { return fmt::format("{}:{:02}.{:01}", ms / 60'000, ms / 1000 % 60, ms / 100 % 10); }

std::string size(u64 bytes) {
  if (bytes >= 10ull << 30) return fmt::format("{}G", bytes >> 30);
  if (bytes >= 10ull << 20) return fmt::format("{}M", bytes >> 20);
  return fmt::format("{}K", bytes >> 10);
}

}  // namespace

int migrate_command(pid_t pid, const std::string& where, bool json) {
  const auto answer = ask({{"op", "migrate"}, {"pid", pid}, {"to", where}});
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  return 0;
}

int ps_command(bool json) {
  const auto answer = ask({{"op", "ps"}});
  if (!answer) return 1;
  if (!answer->value("ok", false)) return refused(*answer);
  if (json) {
    fmt::print("{}\n", answer->dump());
    return 0;
  }
  const std::string here = answer->value("node", "");
  fmt::print("{:>7} {:<10} {:<1} {:>5} {:>9} {:>6} {:>5} {}\n", "PID", "NODE", "S", "LOAD", "CPU", "RSS", "MOVES",
             "COMMAND");
  for (const Json& p : answer->at("processes")) {
    fmt::print("{:>7} {:<10} {:<1} {:>5.2f} {:>9} {:>6} {:>5} {}\n", p.value("pid", 0), p.value("node", ""),
               p.value("state", ""), p.value("demand", 0.0), seconds(p.value("cpu_ms", u64{0})),
               size(p.value("rss_bytes", u64{0})), p.value("moves", 0), p.value("command", ""));
  }
  const Json& guests = answer->at("guests");
  if (guests.empty()) return 0;
  fmt::print("guests on {}:\n{:>7} {:<10}   {:>5} {:>9} {:>6}       {}\n", here, "PID", "HOME", "LOAD", "CPU", "RSS",
             "COMMAND");
  for (const Json& g : guests) {
    fmt::print("{:>7} {:<10}   {:>5.2f} {:>9} {:>6}       {}\n", g.value("pid", 0), g.value("home", ""),
               g.value("demand", 0.0), seconds(g.value("cpu_ms", u64{0})), size(g.value("rss_bytes", u64{0})),
               g.value("command", ""));
  }
  return 0;
}

int where_command(pid_t pid, bool json) {
  const auto answer = ask({{"op", "where"}, {"pid", pid}});
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  if (!json) fmt::print("{}\n", answer->value("node", ""));
  return 0;
}

int why_command(pid_t pid, bool json) {
  const auto answer = ask({{"op", "why"}, {"pid", pid}});
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
  if (answer->contains("came_home_for")) {
    const double ago = answer->value("came_home_ms_ago", 0.0) / 1000;
    const std::string when = ago > 0 ? fmt::format(" {:.1f} s ago", ago) : "";
    fmt::print("came home by itself{}: {}\n", when, answer->value("came_home_for", ""));
  }
  return 0;
}

int nodes_command(bool json) {
  const auto answer = ask({{"op", "nodes"}});
  if (!answer) return 1;
  if (!answer->value("ok", false)) return refused(*answer);
  if (json) {
    fmt::print("{}\n", answer->dump());
    return 0;
  }
  fmt::print("{:>5} {:<12} {:<21} {:<6} {:>6} {:>6} {:>6} {:>7} {:>7} {:>6} {:>5}\n", "ID", "NAME", "ADDRESS", "STATE",
             "CPUS", "SPEED", "LOAD", "FREE", "TOTAL", "GUESTS", "AWAY");
  for (const Json& n : answer->at("nodes")) {
    fmt::print("{:>5} {:<12} {:<21} {:<6} {:>6.2f} {:>6.2f} {:>6.2f} {:>7} {:>7} {:>6} {:>5}\n", n.value("id", 0),
               n.value("name", ""), n.value("endpoint", ""), n.value("state", ""), n.value("cpus", 0.0),
               n.value("speed", 0.0), n.value("runnable", 0.0) + n.value("reserved", 0.0),
               size(n.value("free_bytes", u64{0})), size(n.value("total_bytes", u64{0})), n.value("guests", 0),
               n.value("away", 0));
  }
  for (const Json& p : answer->at("problems"))
    fmt::print("      {}: {}\n", p.value("endpoint", ""), p.value("problem", ""));
  return 0;
}

}  // namespace omig
