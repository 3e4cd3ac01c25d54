// SPDX-License-Identifier: Apache-2.0
#include "tools/omctl/completion.h"

#include <fmt/format.h>

#include "tools/omctl/client.h"
#include "tools/omctl/table.h"
#ifdef OMIG_HAVE_LAB
#include "tools/omctl/lab_state.h"
#endif

namespace omig {

namespace {

constexpr milliseconds kPatience{1000};  // somebody has pressed a key and waits

// A word, and behind a tab what it is; control characters would end the line too early.
void print_choice(const std::string& word, std::string about) {
  constexpr size_t kLongest = 60;
  about.resize(std::min(about.size(), kLongest));
  for (char& c : about)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  fmt::print("{}\t{}\n", word, about);
}

int print_choices(const char* op) {
  auto client = Client::connect();
  if (!client) {
    say_no_homed();
    return 1;
  }
  const auto answer = client->send({{"op", op}}) ? client->receive(kPatience) : std::nullopt;
  if (!answer || !answer->value("ok", false)) {
    say_no_answer(*client);
    return 1;
  }
  for (const Json& n : answer->value("nodes", Json::array()))
    print_choice(n.value("name", ""), fmt::format("{}, load {:.2f} on {:.2f} CPUs", n.value("state", ""),
                                                  n.value("runnable", 0.0), n.value("cpus", 0.0)));
  for (const Json& p : answer->value("processes", Json::array()))
    print_choice(fmt::format("{}", p.value("pid", 0)), p.value("node", "") + ": " + p.value("command", ""));
  for (const Json& g : answer->value("guests", Json::array()))
    print_choice(fmt::format("{}", g.value("pid", 0)),
                 "guest of " + g.value("home", "") + ": " + g.value("command", ""));
  return 0;
}

int print_lab_nodes() {
#ifdef OMIG_HAVE_LAB
  try {
    for (const lab::Node& node : lab::load(lab::canonical_dir(lab::default_dir())).nodes)
      print_choice(node.name(), node.address);
    return 0;
  } catch (const std::exception& error) {
    say_reason(std::string("completion: ") + error.what());
  }
#endif
  return 1;
}

}  // namespace

int completion_main(const cli::Words& words) {
  CLI::App app{"what a shell needs to complete omctl", "omctl completion"};
  std::string what;
  app.add_option("WHAT", what, "a shell's script; or what can follow now: nodes, processes, the lab's nodes")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "nodes", "processes", "lab-nodes"}));
  cli::example(app, "  source <(omctl completion bash)");
  if (const auto end = cli::parse(app, words)) return *end;
  if (what == "nodes") return print_choices("nodes");
  if (what == "processes") return print_choices("ps");
  if (what == "lab-nodes") return print_lab_nodes();
  const Json tree = describe_omctl();
  fmt::print("{}", what == "bash" ? bash_completion(tree) : zsh_completion(tree));
  return 0;
}

}  // namespace omig
