// SPDX-License-Identifier: Apache-2.0
// `omctl run`, and mosrun with its wrappers: the same by openMosix' names and letters.
#include "tools/omctl/run.h"

#include <algorithm>

#include "tools/omctl/commands.h"
#include "tools/omctl/launch.h"

namespace omig {

namespace {

using cluster::DecayKind;
using cluster::JobKind;

bool is_number(const std::string& word) {
  return !word.empty() && std::ranges::all_of(word, [](char c) { return c >= '0' && c <= '9'; });
}

// "mosrun 3 -L make": which is the node's number, and not a command of that name (that is behind "--").
bool first_is_number(const CLI::App& app, const cli::Words& words) {
  cli::Words own = words;
  const cli::Words command = cli::cut_command(app, own);
  return !command.empty() && is_number(command[0]) && words[own.size() - 2] != "--";
}

// Locked at home: the place is already where it starts.
void stay_at_home(Launch& launch) {
  launch.node = "home";
  if (!launch.job.locked) launch.job.locked = true;
  if (*launch.job.locked) launch.node.clear();
  launch.job.node = "";
}

}  // namespace

int run_main(const cli::Words& words) {
  CLI::App app{"start a command that can move", "omctl run"};
  Launch launch;
  std::string kind, decay, disclosure, protect, protect_mb;
  bool home = false, lock = false, unlock = false;
  CLI::Option* node =
      app.add_option("-n,--node", launch.node, "start it there, a node's name or number (default: here)");
  node->type_name("NODE");
  CLI::Option* list =
      app.add_option("--on", launch.node_list, "start it on one of these nodes that is up, by chance: 1,4-6");
  list->type_name("LIST")->check(node_list_check())->excludes(node);
  app.add_flag("--home", home, "it starts here, and stays unless it is asked to move")->excludes(node)->excludes(list);
  CLI::Option* locking = app.add_flag("--lock", lock, "wherever it starts, it stays there unless it is asked to move");
  app.add_flag("--unlock", unlock, "it may be moved, whatever it was started by")->excludes(locking);
  app.add_option("--kind", kind, "what it waits for: cpu (its calls home do not count), io (it belongs at home), none")
      ->type_name("KIND")
      ->check(CLI::IsMember({"cpu", "io", "none"}));
  app.add_option("--decay", decay, "how soon what it did is forgotten: fast, slow, none (never)")
      ->type_name("DECAY")
      ->check(CLI::IsMember({"fast", "slow", "none"}));
  app.add_option("--disclosure", disclosure,
                 "what the tools of a node that it visits tell of it: 0 nothing, 1 its number, 2 its user, 3 all")
      ->type_name("LEVEL")
      ->check(cli::whole_number(0, 3));
  app.add_option("--protect", protect,
                 "home keeps an image of it while it is away, made anew that often: it goes on from there if the node "
                 "it visits is lost; 0: none")
      ->type_name("SECONDS")
      ->check(cli::whole_number(0, cluster::kMostProtect_s));
  app.add_option("--protect-mb", protect_mb,
                 "home gets no image of it, with --protect, while it has more memory than that; 0: no bound")
      ->type_name("MIB")
      ->check(cli::whole_number(0, cluster::kMostProtect_mb));
  cli::carries_command(app);
  cli::example(app,
               "  omctl run -- octave model.m\n  omctl run -n node2 -- make -j 8\n"
               "  omctl run --lock --on 2,4-6 -- ./model\n  omctl run --protect 60 -- ./model");
  cli::Words own = words;
  const cli::Words command = cli::cut_command(app, own);
  if (const auto end = cli::parse(app, own)) return *end;
  if (lock || unlock) launch.job.locked = lock;
  if (!kind.empty()) launch.job.kind = cluster::job_kind_named(kind);
  if (!disclosure.empty()) launch.job.disclosure = static_cast<u32>(std::stoul(disclosure));
  if (!protect.empty()) launch.job.protect_s = static_cast<u32>(std::stoul(protect));
  if (!protect_mb.empty()) launch.job.protect_mb = static_cast<u32>(std::stoul(protect_mb));
  if (!decay.empty()) launch.job.decay = cluster::decay_kind_named(decay);
  if (home) stay_at_home(launch);
  return omig::launch(launch, command);
}

int mosrun_main(const cli::Words& words) {
  CLI::App app{"start a command somewhere, and say how it may move", "mosrun"};
  app.set_help_flag("--help", "print a summary and exit");
  Launch launch;
  bool home = false, force = false, may_move = false, lock = false, inherit = false;
  bool cpu = false, io = false, fast = false, slow = false, none = false;
  CLI::Option* node = app.add_option("NODE", launch.node, "the node where it starts, by its number");
  node->check(CLI::Validator([](const std::string& word) { return is_number(word) ? "" : "no number: " + word; }, ""));
  std::string name;
  CLI::Option* named = app.add_option("--node", name, "the node where it starts, by its name");
  named->type_name("NODE")->excludes(node);
  CLI::Option* list =
      app.add_option("-j", launch.node_list, "it starts on one of these nodes that is up, by chance: -j1,4-6");
  list->type_name("LIST")->check(node_list_check())->excludes(node)->excludes(named);
  app.add_flag("-h", home, "it starts here, and stays unless it is asked to move")
      ->excludes(node)
      ->excludes(named)
      ->excludes(list);
  app.add_flag("-F", force, "if that node is down, it starts here");
  CLI::Option* later = app.add_flag("-l", may_move, "it may be moved later");
  CLI::Option* locking = app.add_flag("-L", lock, "it stays where it was placed unless it is asked to move");
  locking->excludes(later);
  app.add_flag("-k", inherit, "whether it may be moved is as with its parent; so without any of the three")
      ->excludes(later)
      ->excludes(locking);
  CLI::Option* computes = app.add_flag("-c", cpu, "it is CPU-bound: its calls home do not count");
  app.add_flag("-i", io, "it is I/O-bound: it belongs at home")->excludes(computes);
  CLI::Option* forgotten = app.add_flag("-f", fast, "what it did is forgotten fast");
  CLI::Option* slowly = app.add_flag("-s", slow, "what it did is forgotten slowly");
  slowly->excludes(forgotten);
  app.add_flag("-n", none, "what it did is never forgotten")->excludes(forgotten)->excludes(slowly);
  app.validate_positionals();  // what is no number begins the command
  cli::carries_command(app);
  cli::example(app, "  mosrun 3 -L -c ./model\n  mosrun -j1,4-6 -F -l make -j 8");
  cli::Words own = words;
  const cli::Words command = cli::cut_command(app, own, first_is_number(app, words) ? 1 : 0);
  if (const auto end = cli::parse(app, own)) return *end;
  if (!name.empty()) launch.node = name;
  launch.strict = !force;
  if (lock || may_move) launch.job.locked = lock;
  if (cpu || io) launch.job.kind = cpu ? JobKind::cpu : JobKind::io;
  if (fast || slow || none) launch.job.decay = fast ? DecayKind::fast : slow ? DecayKind::slow : DecayKind::none;
  if (home) stay_at_home(launch);
  return omig::launch(launch, command);
}

namespace {

// A name that says one thing. Some begin with a node.
struct Wrapper {
  const char* name;
  const char* summary;
  const char* example;
  Launch launch;
  bool to_a_node = false;
};

int start(Wrapper wrapper, const cli::Words& words) {
  CLI::App app{wrapper.summary, wrapper.name};
  bool force = false;
  if (wrapper.to_a_node) app.add_option("NODE", wrapper.launch.node, "the node where it starts")->required();
  if (wrapper.launch.strict) app.add_flag("-F", force, "if that node is down, it starts here");
  cli::carries_command(app);
  cli::example(app, wrapper.example);
  cli::Words own = words;
  const cli::Words command = cli::cut_command(app, own, wrapper.to_a_node ? 1 : 0);
  if (const auto end = cli::parse(app, own)) return *end;
  if (force) wrapper.launch.strict = false;
  return launch(wrapper.launch, command);
}

Launch of_kind(JobKind kind) { return {.job = {.kind = kind}}; }
Launch of_decay(DecayKind kind) { return {.job = {.decay = kind}}; }
Launch locked() { return {.job = {.locked = true}}; }

}  // namespace

int cpujob_main(const cli::Words& words) {
  return start({"cpujob", "start a command that computes: its calls home do not count", "  cpujob ./model",
                of_kind(JobKind::cpu)},
               words);
}

int iojob_main(const cli::Words& words) {
  return start({"iojob", "start a command that reads and writes: it belongs at home", "  iojob tar -xf archive.tar",
                of_kind(JobKind::io)},
               words);
}

int nomig_main(const cli::Words& words) {
  return start({"nomig", "start a command that moves only when asked to", "  nomig make -j 2", locked()}, words);
}

int runhome_main(const cli::Words& words) {
  return start({"runhome", "start a command that stays at home unless asked to move", "  runhome ./server", locked()},
               words);
}

int nunhome_main(const cli::Words& words) {
  return start({"nunhome",
                "start a command at home; it may be moved later",
                "  nunhome ./model",
                {.node = "home", .job = {.locked = false}}},
               words);
}

int runon_main(const cli::Words& words) {
  return start({"runon",
                "start a command on a node, where it stays unless asked to move",
                "  runon 3 ./model",
                {.strict = true, .job = {.locked = true}},
                true},
               words);
}

int omrunon_main(const cli::Words& words) {
  return start({"omrunon",
                "start a command on a node, if that is up; it may be moved later",
                "  omrunon 3 ./model",
                {.job = {.locked = false}},
                true},
               words);
}

int omsh_main(const cli::Words& words) {
  CLI::App app{"start a shell's line on a node, if that is up; it may be moved later", "omsh"};
  Launch omsh{.job = {.locked = false}};
  std::string line;
  cli::Words unread;
  app.add_option("NODE", omsh.node, "the node where it starts")->required();
  app.add_option("-c", line, "the line")->required()->type_name("LINE");
  app.add_option("ARGUMENT", unread, "what the line calls $0, $1 and so on");
  cli::example(app, "  omsh 3 -c 'make -j 8 && ./model'");
  cli::Words own = words;
  const cli::Words arguments = cli::cut_command(app, own, 1);
  if (!arguments.empty()) own.resize(own.size() - 2);  // what stands for a command: sh -c has none
  if (const auto end = cli::parse(app, own)) return *end;
  cli::Words command{"/bin/sh", "-c", line};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return launch(omsh, command);
}

int fastdecay_main(const cli::Words& words) {
  return start({"fastdecay", "start a command of which is soon forgotten what it did", "  fastdecay ./model",
                of_decay(DecayKind::fast)},
               words);
}

int slowdecay_main(const cli::Words& words) {
  return start({"slowdecay", "start a command of which is slowly forgotten what it did", "  slowdecay ./model",
                of_decay(DecayKind::slow)},
               words);
}

int nodecay_main(const cli::Words& words) {
  return start({"nodecay", "start a command of which is never forgotten what it did", "  nodecay ./model",
                of_decay(DecayKind::none)},
               words);
}

}  // namespace omig
