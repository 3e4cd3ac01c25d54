// SPDX-License-Identifier: Apache-2.0
// omctl: reads the command line and hands over.
#include <CLI/CLI.hpp>

#include "tools/omctl/client.h"
#include "tools/omctl/commands.h"
#include "tools/omctl/sim.h"
#ifdef OMIG_HAVE_LAB
#include "tools/omctl/lab.h"
#endif

namespace {

using omig::kUsageError;

constexpr const char* kRunUsage = "usage: omctl run [-n NODE] [--] COMMAND [ARGUMENT...]\n";

// By hand: everything behind the command is the command's own, options included.
int run(const std::vector<std::string>& words) {
  omig::RunOptions options;
  size_t at = 0;
  for (; at < words.size() && words[at].starts_with("-"); ++at) {
    const std::string& word = words[at];
    if (word == "--") {
      ++at;
      break;
    }
    if (word == "-h" || word == "--help") {
      std::fputs(kRunUsage, stdout);
      return 0;
    }
    if ((word == "-n" || word == "--node") && at + 1 < words.size()) {
      options.node = words[++at];
    } else if (word.starts_with("--node=")) {
      options.node = word.substr(7);
    } else if (word.starts_with("-n") && word.size() > 2) {
      options.node = word.substr(2);
    } else {
      std::fprintf(stderr, "omctl run: unknown option %s\n%s", word.c_str(), kRunUsage);
      return kUsageError;
    }
  }
  options.command.assign(words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
  if (options.command.empty()) {
    std::fprintf(stderr, "omctl run: no command\n%s", kRunUsage);
    return kUsageError;
  }
  return omig::run_command(options);
}

int lab([[maybe_unused]] std::vector<std::string> words) {
#ifdef OMIG_HAVE_LAB
  return lab_main(std::move(words));
#else
  omig::say_reason("this build has no lab");
  return 1;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + std::min(argc, 2), argv + argc);
  const std::string first = argc > 1 ? argv[1] : "";
  if (first == "run") return run(words);
  if (first == "lab") return lab(words);
  if (first == "sim") return omig::sim_main(words);

  CLI::App app{"omig: moves running programs between nodes"};
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return std::string("omctl: ") + error.what() + " (omctl --help)\n";
  });
  app.require_subcommand(1);
  int status = 0;
  int pid = 0;
  std::string where;
  bool json = false;
  const auto with_pid = [&](CLI::App* command) {
    command->add_option("PID", pid, "process")->required()->check([](const std::string& text) {
      return !text.empty() && text[0] != '-' && text != "0" ? std::string()
                                                            : "a process number is greater than 0, not " + text;
    });
    return command;
  };
  const auto with_json = [&](CLI::App* command) {
    command->add_flag("--json", json, "print JSON (docs/JSON.md)");
    return command;
  };
  app.add_subcommand("run", "run a command that can move: omctl run [-n NODE] -- COMMAND...");
  app.add_subcommand("sim", "the cluster's policies on simulated clusters: omctl sim run|table|scale|gossip|spread");
  app.add_subcommand("lab", "a cluster on this machine: omctl lab up|exec|status|down");
  CLI::App* migrate = with_json(with_pid(app.add_subcommand("migrate", "move a process; waits until it is done")));
  migrate->add_option("WHERE", where, "a node's name or number, home, or balance")->required();
  migrate->callback([&] { status = omig::migrate_command(pid, where, json); });
  with_json(app.add_subcommand("ps", "processes and where they are"))->callback([&] {
    status = omig::ps_command(json);
  });
  with_json(with_pid(app.add_subcommand("where", "the node a process is on")))->callback([&] {
    status = omig::where_command(pid, json);
  });
  with_json(with_pid(app.add_subcommand("why", "why a process cannot move")))->callback([&] {
    status = omig::why_command(pid, json);
  });
  with_json(app.add_subcommand("nodes", "the cluster as seen from here"))->callback([&] {
    status = omig::nodes_command(json);
  });
  with_json(app.add_subcommand("doctor", "what this machine allows, and what to do about the rest"))->callback([&] {
    status = omig::doctor_command(json);
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kUsageError;
  }
  return status;
}
