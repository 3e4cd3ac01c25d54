// SPDX-License-Identifier: Apache-2.0
// `omctl lab`: reads the command line and hands over to lab_up, lab_exec, lab_down. `status` is short enough to live
// here.
//
// A lab with root ("namespaces"): every node is a network namespace with one veth to a bridge, which has a network
// namespace of its own, so the host's network is untouched; a mount namespace in which DIR/private is the node's own
// directory, a UTS namespace with the node's name, and a cgroup with its share of the CPU. A small process (the
// holder) keeps the namespaces; when it and everything in them is gone, the kernel takes them away. So only processes,
// cgroups and files can ever be left over, and `lab down` finds all three without being told (lab_down.cpp).
//
// A lab without root ("loopback"): every node is an address in 127.0.0.0/8, and a cgroup where one was delegated.
#include "tools/omctl/lab.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <iostream>

#include "tools/omctl/lab_state.h"

using namespace omig;
using namespace omig::lab;

namespace {

constexpr const char* kUsage =
    "usage: omctl lab COMMAND [--dir DIR]\n"
    "  up [--nodes N] [--cpu PERCENT] [--rate MBIT]   start N nodes; --cpu is each node's share of one core\n"
    "     [--no-balance]                              no process moves unless told to\n"
    "  exec NODE -- CMD...                            run CMD on a node\n"
    "  status [--json]\n"
    "  restart NODE                                   start the node's homed again\n"
    "  down                                           end everything in it and remove it\n";

int number(const std::string& option, const std::string& text, int least, int most) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    throw LabError(fmt::format("{} needs a whole number from {} to {}, not '{}'", option, least, most, text));
  return value;
}

struct Parsed {
  Options options;
  std::vector<std::string> words;  // what is no option, up to and including everything after "--"
  int hold_id = -1;
};

// Options end at "--", or (exec) at the first word that follows the node.
Parsed parse(const std::string& command, const std::vector<std::string>& args) {
  Parsed parsed;
  for (size_t i = 0; i < args.size(); ++i) {
    std::string name = args[i];
    bool command_begins = command == "exec" && parsed.words.size() == 1 && name.rfind("--dir", 0) != 0;
    if (name == "--" || command_begins) {
      if (name == "--") ++i;
      parsed.words.insert(parsed.words.end(), args.begin() + static_cast<long>(i), args.end());
      break;
    }
    if (name.empty() || name[0] != '-') {
      parsed.words.push_back(name);
      continue;
    }
    if (name == "--json" && command == "status") {
      parsed.options.json = true;
      continue;
    }
    if (name == "--no-balance" && command == "up") {
      parsed.options.balance = false;
      continue;
    }
    std::string value;
    if (size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < args.size()) {
      value = args[++i];
    } else {
      throw LabError(fmt::format("{}: unknown, or its value is missing\n{}", name, kUsage));
    }
    if (name == "--dir")
      parsed.options.dir = value;
    else if (name == "--nodes" && command == "up")
      parsed.options.nodes = number(name, value, 1, kMaxNodes);
    else if (name == "--cpu" && command == "up")
      parsed.options.cpu_percent = number(name, value, 1, 100000);
    else if (name == "--rate" && command == "up")
      parsed.options.rate_mbit = number(name, value, 1, 1000000);
    else if (name == "--node" && command == "hold")
      parsed.hold_id = number(name, value, 0, kMaxNodes);
    else
      throw LabError(fmt::format("lab {} knows no option {}\n{}", command, name, kUsage));
  }
  parsed.options.dir = canonical_dir(parsed.options.dir.empty() ? default_dir() : parsed.options.dir);
  return parsed;
}

int dispatch(const std::string& command, const Parsed& parsed) {
  const auto& [options, words, hold_id] = parsed;
  size_t expected = command == "exec" ? 2 : command == "restart" ? 1 : 0;
  if (words.size() < expected)
    throw LabError(fmt::format("lab {}: the command line is incomplete\n{}", command, kUsage));
  if (command != "exec" && words.size() > expected)
    throw LabError(fmt::format("lab {}: what is '{}'?\n{}", command, words[expected], kUsage));
  if (command == "up") return up(options);
  if (command == "down") return down(options);
  if (command == "status") return status(options);
  if (command == "restart") return restart(options, words[0]);
  if (command == "exec") return lab::exec(options, words[0], {words.begin() + 1, words.end()});
  if (command == "hold") return hold(options.dir, hold_id);
  throw LabError(fmt::format("there is no lab {}\n{}", command, kUsage));
}

}  // namespace

namespace omig::lab {

int status(const Options& options) {
  if (!has_lab(options.dir)) {
    if (options.json)
      fmt::print("{}\n",
                 nlohmann::json{{"dir", options.dir}, {"ready", false}, {"nodes", nlohmann::json::array()}}.dump());
    throw LabError(fmt::format("there is no lab in {}: start one with omctl lab up", options.dir.string()));
  }
  Lab lab = load(options.dir);
  nlohmann::json report = to_json(lab);
  bool complete = lab.ready;
  std::string table;
  for (size_t i = 0; i < lab.nodes.size(); ++i) {
    const Node& node = lab.nodes[i];
    pid_t homed = living_homed(lab, node);
    int seen = homed ? nodes_seen(node.state_dir, milliseconds(2000)) : -1;
    complete = complete && seen == static_cast<int>(lab.nodes.size());
    report["nodes"][i]["homed_pid"] = homed;
    report["nodes"][i]["homed"] = seen >= 0 ? "up" : homed ? "silent" : "down";
    report["nodes"][i]["sees"] = seen < 0 ? 0 : seen;
    table += fmt::format("{:<8} {:<12} homed {:<6} sees {} of {}  {}\n", node.name(), node.address,
                         report["nodes"][i]["homed"].get<std::string>(), seen < 0 ? 0 : seen, lab.nodes.size(),
                         node.state_dir.string());
  }
  report["complete"] = complete;
  if (options.json)
    fmt::print("{}\n", report.dump(2));
  else
    fmt::print("{}", table);
  return complete ? 0 : 1;
}

}  // namespace omig::lab

int lab_main(std::vector<std::string> args) {
  if (args.empty() || args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    std::fputs(kUsage, args.empty() ? stderr : stdout);
    return args.empty() ? 2 : 0;
  }
  std::string command = args[0];
  try {
    args.erase(args.begin());
    return dispatch(command, parse(command, args));
  } catch (const std::exception& error) {
    std::cout.flush();
    std::cerr << "omctl lab: " << error.what() << (std::string(error.what()).ends_with('\n') ? "" : "\n");
    return 1;
  }
}
