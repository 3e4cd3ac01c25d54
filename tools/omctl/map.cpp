// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "homed/map_file.h"
#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"

namespace omig {

namespace {

// A mistake in a file, which never came to homed.
int say_mistake(const std::string& text, bool json) {
  if (json) fmt::print("{}\n", Json{{"ok", false}, {"reason", text}}.dump());
  say_reason(text);
  return 1;
}

struct Known {
  cluster::NodeMap map;
  Json nodes = Json::array();
};

Known known_from(const Json& answer) {
  Known known;
  for (const Json& node : answer.at("nodes")) {
    const std::string endpoint = node.value("endpoint", "");
    const auto address = cluster::parse_ipv4(std::string_view(endpoint).substr(0, endpoint.rfind(':')));
    const u32 id = node.value("id", 0u);
    if (!address) continue;
    known.nodes.push_back({{"id", id}, {"address", cluster::ipv4_text(*address)}, {"name", node.value("name", "")}});
    known.map.ranges.push_back({id, *address, 1, 0});
  }
  std::ranges::sort(known.map.ranges, {}, &cluster::MapRange::first_id);
  return known;
}

// The nodes that this one knows, as lines of a map.
int show(bool json) {
  const auto answer = ask_homed({{"op", "nodes"}});
  if (!answer) return 1;
  if (!answer->value("ok", false)) return refused(*answer);
  const Known known = known_from(*answer);
  if (json)
    fmt::print("{}\n", Json{{"ok", true}, {"nodes", known.nodes}}.dump());
  else
    fmt::print("{}", known.map.text());
  return 0;
}

// What was done to get there: "2 brought home, 1 sent home".
std::string went_home(const Json& answer) {
  if (!answer.contains("brought")) return "";
  return fmt::format(", {} brought home, {} sent home", answer.value("brought", 0), answer.value("sent", 0));
}

}  // namespace

int check_map(const std::string& file, bool json) {
  try {
    const cluster::NodeMap map = read_map(file);
    if (json)
      fmt::print("{}\n", Json{{"ok", true}, {"nodes", map.nodes()}, {"aliases", map.aliases.size()}}.dump());
    else
      fmt::print("{}: {} node{}\n", file, map.nodes(), map.nodes() == 1 ? "" : "s");
    return 0;
  } catch (const std::runtime_error& e) {
    return say_mistake(e.what(), json);
  }
}

// Host names are looked up here, by whoever asks, and not in homed, which has no time to wait for DNS.
int load_map(const std::string& file, bool force, bool only_idle, bool json) {
  std::string text;
  try {
    text = read_map(file).text();
  } catch (const std::runtime_error& e) {
    return say_mistake(e.what(), json);
  }
  const auto answer = ask_for_work(
      {{"op", "load_map"}, {"map", text}, {"name", file}, {"force", force}, {"only_idle", only_idle}}, "going home");
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  if (!json)
    fmt::print("node {} of {} at {}{}\n", answer->value("id", 0), answer->value("nodes", 0),
               answer->value("address", ""), went_home(*answer));
  return 0;
}

int leave_cluster(bool force, bool json) {
  const auto answer = ask_for_work({{"op", "leave"}, {"force", force}}, "going home");
  if (!answer) return 1;
  if (json) fmt::print("{}\n", answer->dump());
  if (!answer->value("ok", false)) return refused(*answer);
  if (!json) fmt::print("{} has left its cluster{}\n", answer->value("node", ""), went_home(*answer));
  return 0;
}

int print_current_map(const std::string& file, bool json) {
  auto answer = ask_homed({{"op", "map"}});
  if (!answer) return 1;
  if (!answer->value("ok", false)) return refused(*answer);
  if (!answer->contains("map")) {
    const auto nodes = ask_homed({{"op", "nodes"}});
    if (!nodes) return 1;
    if (!nodes->value("ok", false)) return refused(*nodes);
    (*answer)["map"] = known_from(*nodes).map.text();
  }
  const std::string text = json ? answer->dump() + "\n" : answer->value("map", "");
  if (file.empty() || file == "-") {
    fmt::print("{}", text);
    return 0;
  }
  std::ofstream out(file, std::ios::trunc);
  out << text << std::flush;
  if (out) return 0;
  say_reason(fmt::format("cannot write the map to {}: {}", file, std::strerror(errno)));
  return 1;
}

int map_main(const cli::Words& words) {
  CLI::App app{"the cluster's map", "omctl map"};
  app.require_subcommand(1);
  cli::example(app, "  omctl map check /etc/openmosix.map");
  bool json = false;
  std::string file;
  int status = 0;
  CLI::App* checking = app.add_subcommand("check", "look for mistakes in a map, and change nothing");
  checking->add_option("FILE", file, "the map")->type_name("FILE")->required();
  cli::json_flag(*checking, json);
  cli::example(*checking, "  omctl map check /etc/openmosix.map");
  checking->callback([&] { status = check_map(file, json); });
  CLI::App* showing = app.add_subcommand("show", "the nodes that this one knows, as a map");
  cli::json_flag(*showing, json);
  cli::example(*showing, "  omctl map show > cluster.map");
  showing->callback([&] { status = show(json); });
  bool force = false;
  CLI::App* loading = app.add_subcommand("load", "from now on the cluster is what a map says");
  loading->add_option("FILE", file, "the map; - is standard input")->type_name("FILE")->required();
  loading->add_flag("--force", force, "bring home first whatever the change would cut off");
  cli::json_flag(*loading, json);
  cli::example(*loading, "  omctl map load cluster.map\n  getmap | omctl map load -");
  loading->callback([&] { status = load_map(file, force, false, json); });
  CLI::App* leaving = app.add_subcommand("off", "leave the cluster, if nothing is away or here");
  leaving->add_flag("--force", force, "bring everything home first (omctl leave)");
  cli::json_flag(*leaving, json);
  cli::example(*leaving, "  omctl map off");
  leaving->callback([&] { status = leave_cluster(force, json); });
  CLI::App* current = app.add_subcommand("current", "the map that this node goes by");
  cli::json_flag(*current, json);
  cli::example(*current, "  omctl map current > cluster.map");
  current->callback([&] { status = print_current_map("", json); });
  return cli::parse(app, words).value_or(status);
}

int showmap_main(const cli::Words& words) {
  CLI::App app{"the nodes that this one knows, as a map", "showmap"};
  bool json = false;
  cli::json_flag(app, json);
  cli::example(app, "  showmap");
  if (const auto end = cli::parse(app, words)) return *end;
  return show(json);
}

}  // namespace omig
