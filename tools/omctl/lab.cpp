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

#include <cstdio>
#include <iostream>

#include "tools/omctl/lab_state.h"

using namespace omig;
using namespace omig::lab;

namespace {

// Hidden from help: how `up` starts the processes that hold a node's namespaces.
constexpr const char* kHold = "hold";

struct Parsed {
  Options options;
  std::string node;
  cli::Words command;  // of exec
  int hold_id = -1;
  int status = 0;
};

CLI::App* add_command(CLI::App& app, Parsed& parsed, const char* name, const char* summary, const char* example,
                      int (*work)(const Parsed&)) {
  CLI::App* command = app.add_subcommand(name, summary);
  command
      ->add_option("--dir", parsed.options.dir,
                   "the lab's directory (default: $OMIG_DIR, else /run/omig-lab or the user's)")
      ->type_name("DIR");
  cli::example(*command, example);
  command->callback([&parsed, work] {
    Options& options = parsed.options;
    options.dir = canonical_dir(options.dir.empty() ? default_dir() : options.dir);
    parsed.status = work(parsed);
  });
  return command;
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

int lab_main(const cli::Words& words) {
  CLI::App app{"a cluster of several nodes on this machine", "omctl lab"};
  app.require_subcommand(1);
  cli::example(app, "  omctl lab up --nodes 4 --cpu 40\n  omctl lab exec 1 -- octave model.m\n  omctl lab down");
  Parsed parsed;
  Options& options = parsed.options;
  const auto add = [&](const char* name, const char* summary, const char* example, int (*work)(const Parsed&)) {
    return add_command(app, parsed, name, summary, example, work);
  };
  const auto with_node = [&](CLI::App* command) {
    command->add_option("NODE", parsed.node, "a node's number or name")->required();
  };

  CLI::App* up = add("up", "start the nodes; returns when all see each other", "  omctl lab up --nodes 4 --cpu 40",
                     [](const Parsed& p) { return lab::up(p.options); });
  up->add_option("--nodes", options.nodes, "how many (default 4)")
      ->type_name("N")
      ->check(cli::whole_number(1, kMaxNodes));
  up->add_option("--cpu", options.cpu_percents,
                 "each node's share of one core, in percent; 80,40,20: the nodes' in turn")
      ->type_name("PERCENT")
      ->delimiter(',')
      ->expected(1, kMaxNodes)
      ->check(cli::whole_number(1, 100'000));
  up->add_option("--rate", options.rate_mbit, "each node's network in both directions, in Mbit/s")
      ->type_name("MBIT")
      ->check(cli::whole_number(1, 1'000'000));
  up->add_flag_callback(
      "--no-balance", [&options] { options.balance = false; }, "no process moves unless told to");

  CLI::App* exec =
      add("exec", "run a command on a node: stdin, stdout, signals and exit status are its own",
          "  omctl lab exec 1 -- omctl nodes", [](const Parsed& p) { return lab::exec(p.options, p.node, p.command); });
  with_node(exec);
  cli::carries_command(*exec);

  CLI::App* status = add("status", "the nodes; exit status 0 only if each sees all", "  omctl lab status --json",
                         [](const Parsed& p) { return lab::status(p.options); });
  cli::json_flag(*status, options.json);
  with_node(add("restart", "start a node's homed again", "  omctl lab restart node2",
                [](const Parsed& p) { return lab::restart(p.options, p.node); }));
  add("down", "end everything in the lab and remove it", "  omctl lab down",
      [](const Parsed& p) { return lab::down(p.options); });
  CLI::App* hold = add(kHold, "", "", [](const Parsed& p) { return lab::hold(p.options.dir, p.hold_id); });
  hold->group("");
  hold->add_option("--node", parsed.hold_id)->check(cli::whole_number(0, kMaxNodes));

  cli::Words own = words;
  if (!words.empty() && words[0] == "exec") {
    own.erase(own.begin());
    parsed.command = cli::cut_command(*exec, own, 1);
    own.insert(own.begin(), "exec");
  }
  try {
    return cli::parse(app, own).value_or(parsed.status);
  } catch (const std::exception& error) {
    std::cout.flush();
    std::cerr << "omctl lab: " << error.what() << "\n";
    return 1;
  }
}
