// SPDX-License-Identifier: Apache-2.0
// omctl cluster: who belongs to it. All of it is done by homed.
#include <fmt/format.h>

#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"
#include "tools/omctl/map.h"

namespace omig {

namespace {

// Asks, and prints the answer as JSON if it is wanted. Nothing: it was refused, or was printed; *status is the exit's.
std::optional<nlohmann::json> asked(const nlohmann::json& request, bool json, int* status) {
  const auto answer = ask_homed(request);
  *status = 1;
  if (!answer) return std::nullopt;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) {
    *status = refused(*answer);
    return std::nullopt;
  }
  *status = 0;
  return json ? std::nullopt : answer;
}

int print_status(const nlohmann::json& request, bool json) {
  int status = 0;
  const auto answer = asked(request, json, &status);
  if (!answer) return status;
  fmt::print("cluster {}, founded by {}\n{} is {} in it{}\n", answer->value("cluster", ""),
             answer->value("founder", ""), answer->value("node", ""), answer->value("identity", ""),
             answer->value("authority", false) ? ", and admits and revokes others" : "");
  for (const auto& node : answer->value("revoked", nlohmann::json::array()))
    fmt::print("revoked: {}\n", node.get<std::string>());
  return 0;
}

int invite(const nlohmann::json& request, bool json) {
  int status = 0;
  const auto answer = asked(request, json, &status);
  if (!answer) return status;
  fmt::print("{}\n", answer->value("token", ""));
  fmt::print(stderr, "on the new node, within {} s: omctl join TOKEN\n", answer->value("seconds", 0));
  if (answer->value("address", "").starts_with("127."))
    fmt::print(stderr, "this homed listens at {} only, which other machines do not reach: homed --listen ADDRESS\n",
               answer->value("address", ""));
  return 0;
}

int revoke(const std::string& node, bool json) {
  int status = 0;
  const auto answer = asked({{"op", "revoke"}, {"node", node}}, json, &status);
  if (answer) fmt::print("{} ({}) is thrown out\n", node, answer->value("identity", ""));
  return status;
}

}  // namespace

int cluster_main(const cli::Words& words) {
  CLI::App app{"found a cluster, invite nodes to it, throw nodes out", "omctl cluster"};
  app.require_subcommand(1);
  bool json = false;
  const auto subcommand = [&](const char* name, const char* summary, const char* example) {
    CLI::App* sub = app.add_subcommand(name, summary);
    cli::json_flag(*sub, json);
    cli::example(*sub, std::string("  omctl cluster ") + example);
    return sub;
  };
  CLI::App* const status = subcommand("status", "which cluster this node belongs to, and as whom", "status");
  CLI::App* const init = subcommand("init", "found a new cluster, of this node alone", "init");
  CLI::App* const inviting =
      subcommand("invite", "print a token that brings a node in: omctl join TOKEN", "invite --uses 15");
  std::string seconds = "600", uses = "1", node;
  inviting->add_option("--seconds", seconds, "how long it can be used, up to 604800")
      ->type_name("N")
      ->check(cli::whole_number(10, 604'800))
      ->capture_default_str();
  inviting->add_option("--uses", uses, "how many nodes it brings in")
      ->type_name("N")
      ->check(cli::whole_number(1, 10'000))
      ->capture_default_str();
  CLI::App* const revoking = subcommand("revoke", "throw a node out of the cluster, at once", "revoke node7");
  revoking->add_option("NODE", node, "its name, number or fingerprint")->required();
  cli::example(app, "  omctl cluster invite\n  omctl cluster revoke node7");
  if (const auto end = cli::parse(app, words)) return *end;
  if (status->parsed()) return print_status({{"op", "cluster"}}, json);
  if (init->parsed()) return print_status({{"op", "found"}}, json);
  if (inviting->parsed())
    return invite({{"op", "invite"}, {"seconds", std::stoul(seconds)}, {"uses", std::stoul(uses)}}, json);
  return revoking->parsed() ? revoke(node, json) : kUsageError;
}

}  // namespace omig
