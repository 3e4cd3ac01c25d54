// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "homed/map_file.h"
#include "lib/link/identity.h"
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
  std::string where;
  bool json = false;
  app.add_option("TOKEN|HOST", where,
                 "what omctl cluster invite has printed there; or, for a node that has been in that cluster before, "
                 "one of its nodes: address or name, and :PORT if it is not 7946")
      ->required();
  cli::json_flag(app, json);
  cli::example(app, "  omctl join omig-10.1.1.100:7946-5f0c...-91ab...\n  omctl join node1.example.org");
  if (const auto end = cli::parse(app, words)) return *end;
  nlohmann::json request{{"op", "join"}};
  if (where.starts_with(kTokenPrefix)) {
    request["token"] = where;
  } else {
    const auto at = endpoint_of(where);
    if (!at) {
      say_reason(
          fmt::format("{} is no token, and no address of a node: HOST or HOST:PORT, HOST with an IPv4 address", where));
      return 1;
    }
    request["member"] = at->text();
  }
  const auto answer = ask_homed(request);
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  if (json) return 0;
  if (answer->contains("nodes"))
    fmt::print("node {} at {}; {} nodes are known\n", answer->value("id", 0), answer->value("address", ""),
               answer->value("nodes", 0));
  else
    fmt::print("node {} at {}, by its map\n", answer->value("id", 0), answer->value("address", ""));
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
