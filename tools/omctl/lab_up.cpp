// SPDX-License-Identifier: Apache-2.0
// `lab up`: from nothing to N nodes that see each other, or back to nothing with the reason.
//
// The order is what `lab down` relies on: lock, lab.json, cgroups, directories, holders (one process per node that
// keeps its namespaces), network, daemons. Every process is in its node's cgroup and has the node's OMIG_DIR in its
// environment before it runs a line of its own, so a killed `up` leaves nothing that `down` could not see.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>

#include "lib/base/paths.h"
#include "lib/link/identity.h"
#include "tools/omctl/lab_state.h"

namespace omig::lab {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kHolderLimit{20};
constexpr std::chrono::seconds kCompleteLimit{60};

volatile sig_atomic_t interrupted = 0;

void stop_if_interrupted() {
  if (interrupted) throw LabError("interrupted");
}

// May we make the namespaces? Asked by doing it, in a child: root in a container often may not.
bool namespaces_allowed() {
  pid_t child = fork();
  if (child == 0) {
    bool can = unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS) == 0 &&
               mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    _exit(can ? 0 : 1);
  }
  int status = 1;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status == 0;
}

// A program started as a process of the node. Its stdout is `out` (its stderr too if `out_is_log`).
// `prepare` runs in the child; what it throws and a failed exec end up in the exception that the caller gets.
struct Start {
  const Lab& lab;
  fs::path state_dir;
  int out = -1;
  bool out_is_log = false;
  std::function<void()> prepare;
};

pid_t start(const Start& how, std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int trouble[2];
  if (pipe2(trouble, O_CLOEXEC) != 0) throw LabError(fmt::format("pipe: {}", std::strerror(errno)));
  Fd from(trouble[0]), to(trouble[1]);
  pid_t child = fork();
  if (child < 0) throw LabError(fmt::format("fork: {}", std::strerror(errno)));
  if (child == 0) {
    std::string text;
    try {
      for (int each : {SIGINT, SIGTERM, SIGHUP}) signal(each, SIG_DFL);
      setsid();
      setenv("OMIG_DIR", how.state_dir.c_str(), 1);
      unsetenv("LD_PRELOAD");
      how.prepare();
      Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
      dup2(null.get(), 0);
      dup2(how.out, 1);
      dup2(how.out_is_log ? how.out : null.get(), 2);
      execv(argv[0], argv.data());
      text = fmt::format("cannot run {}: {}", words[0], std::strerror(errno));
    } catch (const std::exception& error) {
      text = error.what();
    }
    (void)!write(to.get(), text.data(), text.size());
    _exit(127);
  }
  to.reset();
  std::string text;
  char buffer[1024];
  for (ssize_t got; (got = read(from.get(), buffer, sizeof buffer)) != 0;)
    if (got > 0) text.append(buffer, static_cast<size_t>(got));
  if (text.empty()) return child;
  waitpid(child, nullptr, 0);
  throw LabError(text);
}

// The holder of one network (and, for a node, mounts and host name).
pid_t start_holder(const Lab& lab, int id, const fs::path& cgroup) {
  int said[2];
  if (pipe2(said, O_CLOEXEC) != 0) throw LabError(fmt::format("pipe: {}", std::strerror(errno)));
  Fd from(said[0]), to(said[1]);
  fs::path state_dir = lab.dir / fmt::format("node{}", id);
  auto prepare = [&] {
    if (int error = cgroup.empty() ? 0 : join_cgroup(cgroup, getpid()); error < 0)
      throw LabError(fmt::format("cannot join {}: {}", cgroup.string(), std::strerror(-error)));
  };
  std::string self = fs::read_symlink("/proc/self/exe");
  pid_t pid = start({lab, state_dir, to.get(), false, prepare},
                    {self, "lab", "hold", "--dir", lab.dir, "--node", std::to_string(id)});
  to.reset();
  std::string text;
  auto limit = Clock::now() + kHolderLimit;
  for (;;) {
    stop_if_interrupted();
    auto left = std::chrono::duration_cast<milliseconds>(limit - Clock::now()).count();
    pollfd wait{from.get(), POLLIN, 0};
    if (left <= 0) throw LabError(fmt::format("node{}'s namespaces were not ready in {} s", id, kHolderLimit.count()));
    if (poll(&wait, 1, static_cast<int>(left)) <= 0) continue;
    char buffer[512];
    ssize_t got = read(from.get(), buffer, sizeof buffer);
    if (got <= 0) break;  // the holder's stdout is closed: it is done, or dead
    text.append(buffer, static_cast<size_t>(got));
  }
  if (text != "ready") throw LabError(text.empty() ? fmt::format("the holder of node{}'s namespaces died", id) : text);
  return pid;
}

// Addresses on which nobody listens yet: 127.0.0.2, .3, ... or, with another lab (or another user's) there, a
// corner of 127.0.0.0/8 that follows from DIR.
std::vector<std::string> loopback_addresses(const Lab& lab, int nodes) {
  u32 seed = static_cast<u32>(std::stoul(lab_tag(lab.dir), nullptr, 16));
  for (int attempt = 0; attempt < 64; ++attempt) {
    std::string net = "127.0.0";
    if (attempt) {
      u32 mixed = (seed + static_cast<u32>(attempt)) * 2654435761u;
      net = fmt::format("127.{}.{}", 1 + (mixed >> 8) % 254, (mixed >> 16) % 256);
    }
    std::vector<std::string> addresses;
    for (int id = 1; id <= nodes; ++id) addresses.push_back(fmt::format("{}.{}", net, id + 1));
    if (std::all_of(addresses.begin(), addresses.end(), loopback_free)) return addresses;
  }
  throw LabError(fmt::format("found no {} free loopback addresses for port {}", nodes, kPort));
}

void make_directory(const fs::path& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    throw LabError(fmt::format("cannot make {}: {}", path.string(), std::strerror(errno)));
  chmod(path.c_str(), mode);
}

// The directory may be new or empty: in any other, `down` could not tell what is whose.
void check_directory(const fs::path& dir) {
  if (has_lab(dir))
    throw LabError(
        fmt::format("there is a lab in {} already: omctl lab status shows it, omctl lab down --dir {} ends it",
                    dir.string(), dir.string()));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    std::string name = entry.path().filename();
    if (name != "lab.lock" && name != "lab.json.new")
      throw LabError(fmt::format("{} is not empty (it has {}): choose another --dir", dir.string(), name));
  }
}

Lab plan(const Options& options) {
  Lab lab;
  lab.dir = options.dir;
  lab.rate_mbit = options.rate_mbit;
  lab.balance = options.balance;
  lab.mode = geteuid() == 0 && namespaces_allowed() ? Mode::namespaces : Mode::loopback;
  if (lab.mode == Mode::loopback && geteuid() == 0)
    fmt::print(stderr, "omctl lab: no namespaces can be made here: the nodes are loopback addresses instead\n");
  if (lab.mode == Mode::loopback && lab.rate_mbit) {
    fmt::print(stderr, "omctl lab: --rate needs network namespaces (root): the nodes talk at full speed\n");
    lab.rate_mbit.reset();
  }
  CgroupPlan cgroups = plan_cgroups(!options.cpu_percents.empty());
  if (!cgroups.parent.empty()) {
    lab.cgroup = cgroups.parent / cgroup_name(lab.dir);
    lab.cpu_percents = options.cpu_percents;
  } else if (!options.cpu_percents.empty()) {
    fmt::print(stderr, "omctl lab: --cpu is not available: {}: every node may use the whole machine\n",
               cgroups.problem);
  }
  std::vector<std::string> addresses;
  if (lab.mode == Mode::loopback) addresses = loopback_addresses(lab, options.nodes);
  for (int id = 1; id <= options.nodes; ++id) {
    Node node;
    node.id = id;
    node.address = lab.mode == Mode::loopback ? addresses[static_cast<size_t>(id - 1)] : fmt::format("10.77.0.{}", id);
    node.state_dir = lab.dir / node.name();
    if (!lab.cgroup.empty()) node.cgroup = lab.cgroup / node.name();
    lab.nodes.push_back(node);
  }
  return lab;
}

void make_directories(const Lab& lab) {
  const Identity founder = new_cluster(lab.nodes.front().name());
  if (lab.mode == Mode::namespaces) make_directory(lab.common_private(), 0755);
  for (const Node& node : lab.nodes) {
    make_directory(node.state_dir, 0700);
    if (lab.mode == Mode::namespaces) make_directory(node.state_dir / "private", 0755);
    std::string error;
    const bool first = node.id == lab.nodes.front().id;
    if (!keep_identity(node.state_dir, first ? founder : new_member(founder, node.name()), &error))
      throw LabError(error);
  }
}

void build(Lab& lab) {
  save(lab);
  make_cgroups(lab);
  make_directories(lab);
  if (lab.mode == Mode::namespaces) {
    lab.bridge_holder = start_holder(lab, kBridgeId, bridge_cgroup(lab));
    save(lab);
    wire_bridge(lab);
    for (Node& node : lab.nodes) {
      node.holder = start_holder(lab, node.id, node.cgroup);
      save(lab);
      wire_node(lab, node);
    }
  }
  for (Node& node : lab.nodes) {
    stop_if_interrupted();
    node.homed = start_homed(lab, node);
    save(lab);
  }
  wait_until_complete(lab, kCompleteLimit);
  lab.ready = true;
  save(lab);
}

// The end of what a daemon said last, for the message that it died.
std::string last_words(const Node& node) {
  std::string text = read_text(node.state_dir / "homed.log");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (!text.empty()) return text.substr(text.rfind('\n') + 1);
  return "it said nothing";
}

}  // namespace

pid_t start_homed(const Lab& lab, const Node& node) {
  std::string homed = find_binary("homed");
  if (homed.empty()) throw LabError("homed is not next to omctl: build it (tools/dev build) or set OMIG_LIBEXEC");
  auto at = [](const Node& each) { return fmt::format("{}:{}", each.address, kPort); };
  std::vector<std::string> words = {homed, "--foreground", "--state-dir", node.state_dir, "--name", node.name()};
  // All nodes are one machine: they are told to be of one speed, which none could measure under its share of the CPU.
  words.insert(words.end(), {"--id", std::to_string(node.id), "--listen", at(node), "--speed", "1"});
  for (const Node& peer : lab.nodes)
    if (peer.id != node.id) words.insert(words.end(), {"--peer", at(peer)});
  if (!lab.cpu_percents.empty())
    words.insert(words.end(), {"--cpus", fmt::format("{:.2f}", lab.cpu_percent_of(node) / 100.0)});
  if (!lab.balance) words.push_back("--no-balance");
  Fd log(open((node.state_dir / "homed.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log) throw LabError(fmt::format("cannot write {}/homed.log: {}", node.state_dir.string(), std::strerror(errno)));
  auto prepare = [&] {
    if (chdir("/") != 0) throw LabError("cannot go to /");
    enter_node(lab, node);
  };
  return start({lab, node.state_dir, log.get(), true, prepare}, words);
}

void wait_until_complete(const Lab& lab, std::chrono::seconds limit) {
  auto end = Clock::now() + limit;
  for (;;) {
    std::string missing;
    for (const Node& node : lab.nodes) {
      stop_if_interrupted();
      // Our own child, if we started it: one that did not exec yet must not be taken for dead.
      if (node.homed > 0 && waitpid(node.homed, nullptr, WNOHANG) == node.homed)
        throw LabError(fmt::format("{}'s homed died: {}", node.name(), last_words(node)));
      int seen = nodes_seen(node.state_dir, milliseconds(5000));
      if (seen != static_cast<int>(lab.nodes.size()))
        missing = seen < 0
                      ? fmt::format("{}'s homed does not answer on {}/homed.sock", node.name(), node.state_dir.string())
                      : fmt::format("{} sees {} of {} nodes", node.name(), seen, lab.nodes.size());
    }
    if (missing.empty()) return;
    if (Clock::now() > end) throw LabError(fmt::format("after {} s {}", limit.count(), missing));
    poll(nullptr, 0, 50);  // the interval of asking; the condition above decides
  }
}

int up(const Options& options) {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };  // no SA_RESTART: waiting ends
  for (int each : {SIGINT, SIGTERM, SIGHUP}) sigaction(each, &action, nullptr);
  std::error_code error;
  bool existed = fs::is_directory(options.dir, error);
  if (existed) {
    check_directory(options.dir);
  } else {
    fs::create_directories(options.dir.parent_path(), error);
    make_directory(options.dir, geteuid() == 0 ? 0755 : 0700);
  }
  Lock lock(options.dir);
  check_directory(options.dir);  // again: it may have been another `up` that held the lock
  Lab lab;
  try {
    lab = plan(options);
    build(lab);
  } catch (const std::exception& failure) {
    for (const std::string& each : dismantle(options.dir)) fmt::print(stderr, "omctl lab up: {}\n", each);
    if (existed) mkdir(options.dir.c_str(), 0755);  // as it was found: empty
    throw LabError(failure.what());
  }
  for (const Node& node : lab.nodes) {
    const std::string share =
        lab.cpu_percents.empty() ? "no CPU limit" : fmt::format("{}% CPU", lab.cpu_percent_of(node));
    fmt::print("{:<8} {:<12} {:<12} homed {:<8} {}\n", node.name(), node.address, share, node.homed,
               node.state_dir.string());
  }
  return 0;
}

int restart(const Options& options, const std::string& node_text) {
  Lab lab = load(options.dir);
  Lock lock(options.dir);
  lab = load(options.dir);
  const Node& wanted = lab.node(node_text);
  if (pid_t pid = living_homed(lab, wanted))
    throw LabError(fmt::format("{}'s homed lives (pid {})", wanted.name(), pid));
  for (Node& node : lab.nodes)
    if (node.id == wanted.id) node.homed = start_homed(lab, node);
  save(lab);
  wait_until_complete(lab, kCompleteLimit);
  return 0;
}

}  // namespace omig::lab
