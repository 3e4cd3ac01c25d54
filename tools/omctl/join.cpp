// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "homed/map_file.h"
#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"
#include "tools/omctl/map.h"

namespace omig {

namespace {

// HOST[:PORT]; a name is looked up here and not in homed, which has no time to wait for DNS.
std::optional<Endpoint> endpoint_of(const std::string& text) {
  const size_t colon = text.find(':');
  const auto address = look_up(text.substr(0, colon));
  if (!address) return std::nullopt;
  const std::string port = colon == std::string::npos ? "" : text.substr(colon);
  return Endpoint::parse(cluster::ipv4_text(*address) + port, cluster::kHomedPort);
}

}  // namespace

int join_main(const cli::Words& words) {
  CLI::App app{"bring this node into the cluster of another one", "omctl join"};
  std::string member;
  bool json = false;
  app.add_option("HOST", member, "a node of that cluster: its address or name, and :PORT if it is not 7946")
      ->required();
  cli::json_flag(app, json);
  cli::example(app, "  omctl join node1.example.org");
  if (const auto end = cli::parse(app, words)) return *end;
  const auto at = endpoint_of(member);
  if (!at) {
    say_reason(fmt::format("{} is no address of a node: HOST or HOST:PORT, HOST with an IPv4 address", member));
    return 1;
  }
  const auto answer = ask_homed({{"op", "join"}, {"member", at->text()}});
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  if (!json)
    fmt::print("node {} at {}; {} nodes are known\n", answer->value("id", 0), answer->value("address", ""),
               answer->value("nodes", 0));
  return 0;
}

int leave_main(const cli::Words& words) {
  CLI::App app{"bring own processes home, send guests home, and leave the cluster", "omctl leave"};
  bool json = false;
  cli::json_flag(app, json);
  cli::example(app, "  omctl leave && poweroff\n  omctl join node1    # back again");
  if (const auto end = cli::parse(app, words)) return *end;
  return leave_cluster(true, json);
}

}  // namespace omig
